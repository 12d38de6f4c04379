"""How many calls of a kind are answered at the same time, in all web processes together.

A call takes a slot of each of its shares, or waits for it in a queue of bounded length, or is
refused at once. The slots are leases in Redis, so that those of a killed process come free. While
Redis is away, only the bound of this process remains: half of its threads.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import NamedTuple
from uuid import uuid4

from django.conf import settings
from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled

from mlops_platform.coordination.redis import redis_client

logger = logging.getLogger(__name__)

LEASE_S = 15  # longer than an answer takes
WAITING_LEASE_S = 2  # renewed with each look
LOOK_EVERY_S = 0.05
LONGEST_WAIT_S = 3.0
RETRY_AFTER_S = 2

_of_this_process = BoundedSemaphore(max(settings.WEB_THREADS // 2, 1))

# KEYS: of each share the running and the waiting calls, as sorted sets by the end of their lease.
# ARGV: the call, the two leases in ms, and of each share how many may run and how many may wait.
# Returns 1: it runs; 0: it waits; -1: it is one too many. Those that wait go before new ones.
_ENTER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local call, lease, waiting_lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local waits, free, room = false, true, true
for i = 1, #KEYS, 2 do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    redis.call('ZREMRANGEBYSCORE', KEYS[i + 1], '-inf', now)
    if redis.call('ZSCORE', KEYS[i + 1], call) then waits = true end
end
for i = 1, #KEYS, 2 do
    local waiting = redis.call('ZCARD', KEYS[i + 1])
    if redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[i + 3]) then free = false end
    if not waits and waiting > 0 then free = false end
    if not waits and waiting >= tonumber(ARGV[i + 4]) then room = false end
end
if not free and not room then return -1 end
for i = 1, #KEYS, 2 do
    if free then
        redis.call('ZADD', KEYS[i], now + lease, call)
        redis.call('ZREM', KEYS[i + 1], call)
        redis.call('PEXPIRE', KEYS[i], lease)
    else
        redis.call('ZADD', KEYS[i + 1], now + waiting_lease, call)
        redis.call('PEXPIRE', KEYS[i + 1], waiting_lease)
    end
end
return free and 1 or 0
"""


class Share(NamedTuple):
    """Of the calls with this key at most `running` are answered at once, and `waiting` wait."""

    key: str
    running: int
    waiting: int


@contextmanager
def slot(shares: Sequence[Share]) -> Iterator[None]:
    """Raises Throttled, a 429, where a share's queue is full, at once; and after LONGEST_WAIT_S."""
    if not _of_this_process.acquire(blocking=False):
        raise _too_many()
    call = uuid4().hex
    try:
        try:
            _wait_for_turn(call, shares)
        except (RedisError, OSError):
            logger.warning("calls counted in this process alone: redis is away")
        yield
    finally:
        _of_this_process.release()
        _leave(call, shares)


def _wait_for_turn(call: str, shares: Sequence[Share]) -> None:
    enter = redis_client().register_script(_ENTER)
    leases = [LEASE_S * 1000, WAITING_LEASE_S * 1000]
    limits = [limit for share in shares for limit in (share.running, share.waiting)]
    until = time.monotonic() + LONGEST_WAIT_S
    while (answer := enter(keys=_keys(shares), args=[call, *leases, *limits])) == 0:
        if time.monotonic() > until:
            raise _too_many()
        time.sleep(LOOK_EVERY_S)
    if answer < 0:
        raise _too_many()


def _leave(call: str, shares: Sequence[Share]) -> None:
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for key in _keys(shares):
                pipe.zrem(key, call)
            pipe.execute()
    except (RedisError, OSError):
        logger.warning("slot not given back: redis is away; its lease ends")


def _keys(shares: Sequence[Share]) -> list[str]:
    kinds = ("running", "waiting")
    return [f"throttle:slots:{share.key}:{kind}" for share in shares for kind in kinds]


def _too_many() -> Throttled:
    return Throttled(wait=RETRY_AFTER_S, detail="Too many of these calls at the same time.")
