"""The workers that take tasks now, as each of them shows in Redis every few seconds.

A worker writes its name while it is connected and its loop turns. That says nothing of the
processes in which it runs tasks: those show it by what they write (scheduler/freshness.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

from mlops_platform.coordination.locks import script
from mlops_platform.coordination.redis import redis_client

KEY = "workers:seen"  # a sorted set: `queue,queue name` by the time of the last beat
FORGOTTEN_AFTER_S = 3600

# Times are those of Redis' clock, since hosts compare them.
_BEAT = f"""
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1] .. '.' .. string.format('%06d', now[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] - {FORGOTTEN_AFTER_S})
"""


class SeenWorker(NamedTuple):
    name: str
    queues: tuple[str, ...]
    age_s: float  # since its last beat


def beat(name: str, queues: Iterable[str]) -> None:
    """Show that the worker takes tasks of these queues. Raises RedisError."""
    script(redis_client(), _BEAT)(keys=[KEY], args=[f"{','.join(sorted(queues))} {name}"])


def seen_workers() -> list[SeenWorker]:
    """The workers of the last hour, by name. One round trip; raises RedisError."""
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange(KEY, 0, -1, withscores=True)
        (seconds, microseconds), rows = pipe.execute()
    now = float(seconds) + float(microseconds) / 1e6
    found = []
    for member, score in rows:
        queues, _, name = str(member).partition(" ")
        found.append(SeenWorker(name, tuple(queues.split(",")), max(now - float(score), 0.0)))
    return sorted(found)
