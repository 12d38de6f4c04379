"""Wakes a worker for one id: many wake-ups before a run make one run, and no wake-up is lost.

A flag in Redis says that a run is wanted, and which word came first. A wake-up that sets the flag
enqueues the task; a wake-up that finds the flag set has nothing to do. A run clears the flag before
it reads anything, so a wake-up that comes while it reads sets the flag anew. A lock keeps two
workers from doing the same work; only time depends on it.

A sorted set has every id from its wake-up to the end of its run, by the time at which to look at
it again, so that what a killed or frozen worker has taken, and what the broker has lost, is asked
for again within seconds (`ask_again`). A run that fails is put off there, too, and takes up no
worker meanwhile. Times are those of Redis' clock. What Redis loses altogether, a sweep finds.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops_platform.coordination.locks import LOCK_S, renewed, script
from mlops_platform.coordination.redis import redis_client
from mlops_platform.environment.database import try_again

logger = logging.getLogger(__name__)

LOCK_MS = round(LOCK_S * 1000)
MOST_WARNINGS, WARNINGS_WITHIN_S = 3, 1.0  # that Redis is away
LOOK_AT_ONCE = 1000  # ids that one look asks for again
LOST_AFTER_MS = 2000  # a message that no worker has taken, where the broker has none
LATE_AFTER_MS = 5000  # and where it has some, which may be in front of it
# A run that failed is put off for longer each time, and for a multiple of what it took: so one
# that fails again and again takes up a fifth of one worker at most.
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_PER_S = 0.5, 2.0, 4.0
LONGEST_PAUSE_AFTER_LONG_S = 30.0

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# KEYS: the flag, the set. ARGV: the word, the id. Returns 1 where a task is to be sent.
_REQUEST = f"""
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') then return 0 end
{NOW}
redis.call('ZADD', KEYS[2], 'NX', now + {LOST_AFTER_MS}, ARGV[2])
return 1
"""
# KEYS: the flag, the set, the lock, the failures. ARGV: the id and the lock's token.
# Returns the word and the number of failures before; nothing where no run is wanted or one goes on.
_BEGIN = f"""
if redis.call('EXISTS', KEYS[3]) == 1 then return false end
local word = redis.call('GET', KEYS[1])
if not word then return false end
{NOW}
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[3], ARGV[2], 'PX', {LOCK_MS})
redis.call('ZADD', KEYS[2], now + {LOCK_MS}, ARGV[1])
return {{word, redis.call('HGET', KEYS[4], ARGV[1]) or '0'}}
"""
# As above; ARGV: the id and the token. Returns 1 where another run is wanted.
_END = f"""
local owner = redis.call('GET', KEYS[3])
if owner and owner ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[3])
redis.call('HDEL', KEYS[4], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[1])
    return 0
end
{NOW}
redis.call('ZADD', KEYS[2], now + {LOST_AFTER_MS}, ARGV[1])
return 1
"""
# As above; ARGV: the id, the token, the pause in ms, the word. The flag is set until the next run.
_FAIL = f"""
local owner = redis.call('GET', KEYS[3])
if owner and owner ~= ARGV[2] then return end
redis.call('DEL', KEYS[3])
redis.call('HINCRBY', KEYS[4], ARGV[1], 1)
redis.call('SET', KEYS[1], ARGV[4], 'NX')
{NOW}
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
"""
# KEYS: the set, the broker's queue, the failures. ARGV: what is before and behind the id in the
# flag's name, and in the lock's; the word. Returns the ids whose worker is gone, and those that no
# worker has taken.
_DUE = f"""
{NOW}
local late = redis.call('LLEN', KEYS[2]) == 0 and 0 or {LATE_AFTER_MS - LOST_AFTER_MS}
local gone, untaken = {{}}, {{}}
local page = {{'WITHSCORES', 'LIMIT', 0, {LOOK_AT_ONCE}}}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, unpack(page))
for at = 1, #due, 2 do
    local id = due[at]
    if redis.call('EXISTS', ARGV[3] .. id .. ARGV[4]) == 0 then
        local ids = nil
        if redis.call('SET', ARGV[1] .. id .. ARGV[2], ARGV[5], 'NX') then
            ids = gone
        elseif now - due[at + 1] >= late
                or redis.call('HEXISTS', KEYS[3], id) == 1 then
            ids = untaken
        end
        if ids then
            ids[#ids + 1] = id
            redis.call('ZADD', KEYS[1], now + {LOST_AFTER_MS}, id)
        end
    end
end
return {{gone, untaken}}
"""


class Backlog(NamedTuple):
    """The messages of the broker's queue; by how many seconds the oldest wake-up is later than it
    is asked for again; and the ids whose last run has failed."""

    messages: int
    late_s: float
    failing: list[UUID]


class Wakeup:
    """Wake-ups for one Celery task, whose only argument is the id as text.

    `flag` and `lock` are keys in Redis, with `{}` for the id; `queue` is the broker's queue of the
    task. A message that no worker takes within `expires_s` is dropped.
    """

    def __init__(
        self, task: str, *, flag: str, lock: str, queue: str, expires_s: float | None = None
    ) -> None:
        self._task, self._flag, self._lock = task, flag, lock
        self._queue, self._expires_s = queue, expires_s
        self._set, self._failures = f"wakeups:{task}", f"wakeups:{task}:failures"
        self._warned_at: deque[float] = deque(maxlen=MOST_WARNINGS)  # by time.monotonic()

    def request(self, id_: UUID, word: str, *, again: bool = False) -> None:
        """Ask for a run. Never raises for want of Redis: a sweep asks again, with `again`.

        `again` enqueues a task even where the flag is set: its message may be lost.
        """
        try:
            keys = [self._flag.format(id_), self._set]
            if script(redis_client(), _REQUEST)(keys, [word, str(id_)]) or again:
                self.enqueue(id_)
        except (RedisError, OperationalError, OSError) as error:
            self._warn(id_, error)

    def enqueue(self, id_: UUID) -> None:
        """Send the task by its name, so that the sender does not import what the task imports."""
        current_app.send_task(self._task, (str(id_),), expires=self._expires_s)

    def set_flag(self, id_: UUID, word: str) -> bool:
        """Set the flag alone: the worker with the lock reads it last. True where it was clear."""
        keys = [self._flag.format(id_), self._set]
        return bool(script(redis_client(), _REQUEST)(keys, [word, str(id_)]))

    def clear_flag(self, id_: UUID) -> str | None:
        """Clear the flag; returns the word that set it, None where it was clear."""
        word = redis_client().getdel(self._flag.format(id_))
        return str(word) if word else None

    def is_flag_set(self, id_: UUID) -> bool:
        return bool(redis_client().exists(self._flag.format(id_)))

    def lock_name(self, id_: UUID) -> str:
        return self._lock.format(id_)

    def run(self, id_: UUID, work: Callable[[str, int], None]) -> str | None:
        """Do the work once under the lock, unless another worker has the lock or has done the work.
        Two round trips.

        `work` gets the word and how many runs before it have failed. One that raises is put off,
        and asked for again after a growing pause; an error of PostgreSQL that may pass is logged,
        any other is raised. A task that finds the lock taken leaves the flag
        set, and the worker with the lock reads it again at the end. A second run is a second task,
        so that a busy id takes turns with others. Returns the word that was answered; None where no
        work was done or another run follows.
        """
        token = uuid4().hex
        keys = [self._flag.format(id_), self._set, self._lock.format(id_), self._failures]
        begun = script(redis_client(), _BEGIN)(keys, [str(id_), token])
        if not begun:
            return None
        word, failures = str(begun[0]), int(begun[1])
        began = time.monotonic()
        try:
            with renewed(keys[2], token):
                work(word, failures)
        except BaseException as error:
            pause_s = _pause_s(failures, time.monotonic() - began)
            self._say(_FAIL, keys, [str(id_), token, round(pause_s * 1000), word])
            if not isinstance(error, Exception) or try_again(error) is None:
                raise
            logger.warning(
                "put off", extra={"task": self._task, "id": str(id_), "error": str(error)}
            )
            return None
        if self._say(_END, keys, [str(id_), token]):
            self.enqueue(id_)
            return None
        return word

    def ask_again(self, word: str, before: Callable[[UUID], object] | None = None) -> None:
        """Send the tasks anew whose worker is gone, whose message is lost, or whose pause after a
        failure is over. One round trip where there are none.

        Those whose worker is gone get this word, and `before` is called with each of them. Raises
        RedisError, and what kombu raises, while Redis is away.
        """
        keys = [self._set, self._queue, self._failures]
        args = [*self._flag.split("{}"), *self._lock.split("{}"), word]
        gone, untaken = script(redis_client(), _DUE)(keys, args)
        for id_ in gone:
            logger.warning("asked again: its worker is gone", extra={"task": self._task, "id": id_})
            if before is not None:
                before(UUID(id_))
        for id_ in (*gone, *untaken):
            self.enqueue(UUID(id_))

    def backlog(self) -> "Backlog":
        """One round trip; raises RedisError."""
        with redis_client().pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.llen(self._queue)
            pipe.zrange(self._set, 0, 0, withscores=True)
            pipe.hkeys(self._failures)
            (seconds, microseconds), messages, oldest, failing = pipe.execute()
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        late_ms = max((now_ms - score for _, score in oldest), default=0.0)
        return Backlog(int(messages), max(late_ms, 0) / 1000, [UUID(str(id_)) for id_ in failing])

    def _warn(self, id_: UUID, error: Exception) -> None:
        """Of the first few of many requests: a timer makes one for each cluster with ends."""
        now, warned_at = time.monotonic(), self._warned_at
        if len(warned_at) < MOST_WARNINGS or now - warned_at[0] > WARNINGS_WITHIN_S:
            warned_at.append(now)
            logger.warning(
                "not requested: redis is away; the sweep will ask again",
                extra={"flag": self._flag.format(id_), "error": str(error)},
            )

    def _say(self, text: str, keys: list[str], args: list[Any]) -> Any:
        """The script's answer; None while Redis is away: the lock ends, and `ask_again` follows."""
        try:
            return script(redis_client(), text)(keys, args)
        except RedisError as error:
            logger.warning("lock not released: redis is away", extra={"error": str(error)})
            return None


def _pause_s(failures: int, took_s: float) -> float:
    growing = min(FIRST_PAUSE_S * 2 ** min(failures, 10), LONGEST_PAUSE_S)
    return max(growing, min(PAUSE_PER_S * took_s, LONGEST_PAUSE_AFTER_LONG_S))
