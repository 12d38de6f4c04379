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
_stalled_until: dict[str, float] = {}
"""time.monotonic() by URL; here because connections copy their Retry."""


def redis_client() -> Redis:
    """The process's client; answers are text. Safe to share among threads and across a fork.

    A connection that broke while it lay idle (Redis was restarted) is tried once more at once, and
    so is one whose server has become a replica: the address may lead to another server by now. A
    timeout is not. What follows a timeout, or a slow failure (a host whose name is not found any
    more, Sentinels of which none answers), within REDIS_STALLED_S fails at once: a submit speaks to
    Redis three times, and a timer as often as clusters have something due. A Redis that is away
    must cost each of them one wait.
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
            took_s = time.monotonic() - began
            if isinstance(error, RedisTimeoutError) or took_s > SLOW_S:
                _stalled_until[self._url] = time.monotonic() + self._stalled_s
            raise
        except ValueError as error:  # redis-py's, of a connection that was cut off while it read
            if "closed file" not in str(error):
                raise
            raise RedisConnectionError("Redis was cut off.") from error
