"""Locks in Redis that end soon after their process: renewed by a thread while the work goes on.

Only time depends on them: PostgreSQL's locks and guarded writes keep the truth.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import RedisError

from mlops_platform.coordination.redis import redis_client

logger = logging.getLogger(__name__)

# So long the lock of a process that was killed, or is frozen, keeps others away, also across a
# restart of Redis. Long enough for a thread of a busy process to renew it.
LOCK_S = 3.0
RENEWALS = 3  # in that time

_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


@cache
def script(client: Redis, text: str) -> Script:
    """The script, whose text is hashed once for each client."""
    return client.register_script(text)


@contextmanager
def try_lock(name: str, *, lock_s: float = LOCK_S) -> Iterator[bool]:
    """True while this process owns the lock; False at once where another process owns it."""
    token = uuid4().hex
    if not redis_client().set(name, token, nx=True, px=_ms(lock_s)):
        yield False
        return
    try:
        with renewed(name, token, lock_s=lock_s):
            yield True
    finally:
        if not script(redis_client(), _RELEASE)(keys=[name], args=[token]):
            logger.warning("outlived its lock", extra={"lock": name})


@contextmanager
def renewed(name: str, token: str, *, lock_s: float = LOCK_S) -> Iterator[None]:
    """Renews a lock that this process owns by this token, until the block or the process ends."""
    done = threading.Event()
    threading.Thread(target=_renew, args=(name, token, lock_s, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _renew(name: str, token: str, lock_s: float, done: threading.Event) -> None:
    while not done.wait(lock_s / RENEWALS):
        try:
            if not script(redis_client(), _RENEW)(keys=[name], args=[token, _ms(lock_s)]):
                return  # it ended, since this process was stopped for longer or Redis has lost it
        except RedisError as error:
            logger.warning("lock not renewed", extra={"lock": name, "error": str(error)})


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
