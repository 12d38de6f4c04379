"""The one way to Redis: a pooled client that fails soon rather than delay a request."""

import time
from functools import cache
from typing import Any

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from mlops_platform.environment.redis_address import Pool

SLOW_S = 0.5  # a Redis that has ended refuses connections within a millisecond
AGAIN_S = 10.0  # two timeouts within that are no accident
_stalled_until: dict[str, float] = {}
"""time.monotonic() by URL; here because connections copy their Retry."""
_timed_out_at: dict[str, float] = {}
"""When a command last waited in vain for a Redis that answered again; likewise."""


def redis_client() -> Redis:
    """The process's client; answers are text. Safe to share among threads and across a fork.

    A connection that broke while it lay idle (Redis was restarted) is tried once more at once, and
    so is one whose server has become a replica: the address may lead to another server by now. A
    command that timed out is not: Redis may have done it.

    A Redis that is away costs a submit, which speaks to it three times, and a timer, which does as
    often as clusters have something due, one wait: what follows within REDIS_STALLED_S fails at
    once. Redis counts as away when a new connection to it fails slowly (a host whose name is not
    found any more, Sentinels of which none answers), when after a timeout it does not answer on a
    new connection within SLOW_S either, and when it does but the next commands time out, too (one
    that takes no writes). One slow answer alone makes no other command fail.
    """
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT_S, settings.REDIS_STALLED_S)


@cache
def _client(url: str, timeout_s: float, stalled_s: float) -> Redis:
    pool = Pool.from_url(
        url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        retry=_Impatient(url, stalled_s),
        decode_responses=True,
    )
    return Redis(connection_pool=pool)


def waiting_client(longest_s: float) -> Redis:
    """A client whose commands may wait for data, up to so many seconds each; answers are bytes.

    It has connections of its own, as a command that waits keeps one. A command whose connection
    breaks is tried once more at once: give only what may be repeated. What fails here makes no
    command of `redis_client` fail at once.
    """
    return _waiting_client(settings.REDIS_URL, settings.REDIS_TIMEOUT_S, longest_s)


@cache
def _waiting_client(url: str, timeout_s: float, longest_s: float) -> Redis:
    pool = Pool.from_url(
        url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s + longest_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError, ReadOnlyError)),
    )
    return Redis(connection_pool=pool)


class _Impatient(Retry):
    """Every command and every connecting goes through here."""

    def __init__(self, url: str, stalled_s: float) -> None:
        super().__init__(NoBackoff(), 1, supported_errors=(RedisConnectionError, ReadOnlyError))
        self._url, self._stalled_s = url, stalled_s

    def call_with_retry(self, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < _stalled_until.get(self._url, 0.0):
            raise RedisConnectionError("Redis did not answer a moment ago.")
        began = time.monotonic()
        try:
            return super().call_with_retry(*args, **kwargs)
        except (RedisConnectionError, RedisTimeoutError) as error:
            if self._is_away(error, began):
                _stalled_until[self._url] = time.monotonic() + self._stalled_s
            raise
        except ValueError as error:  # redis-py's, of a connection that was cut off while it read
            if "closed file" not in str(error):
                raise
            raise RedisConnectionError("Redis was cut off.") from error

    def _is_away(self, error: Exception, began: float) -> bool:
        """By what a call that began then has met."""
        if not isinstance(error, RedisTimeoutError):
            return time.monotonic() - began > SLOW_S
        now = time.monotonic()
        if now < _stalled_until.get(self._url, 0.0):  # as the connecting inside of this call found
            return True
        before = _timed_out_at.get(self._url, -AGAIN_S)
        if before < began < before + AGAIN_S or not _answers(self._url):
            return True
        _timed_out_at[self._url] = time.monotonic()
        return False


def _answers(url: str) -> bool:
    """Whether Redis takes a new connection, and answers there, each without long waits."""
    impatient = {"socket_connect_timeout": SLOW_S, "socket_timeout": SLOW_S}
    pool = Pool.from_url(url, retry=Retry(NoBackoff(), 0), **impatient)
    try:
        return bool(Redis(connection_pool=pool).ping())
    except (RedisConnectionError, RedisTimeoutError):
        return False
    finally:
        pool.disconnect()
