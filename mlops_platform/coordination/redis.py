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

_stalled_until: dict[str, float] = {}
"""time.monotonic() by URL; here because connections copy their Retry."""


def redis_client() -> Redis:
    """The process's client; answers are text. Safe to share among threads and across a fork.

    A connection that broke while it lay idle (Redis was restarted) is tried once more at once, and
    so is one whose server has become a replica: the address may lead to another server by now. A
    timeout is not, and what follows it within REDIS_STALLED_S fails at once: a submit speaks to
    Redis three times, and a frozen Redis must cost it one timeout, not three.
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


class _Impatient(Retry):
    """Every command and every connecting goes through here."""

    def __init__(self, url: str, stalled_s: float) -> None:
        super().__init__(NoBackoff(), 1, supported_errors=(RedisConnectionError, ReadOnlyError))
        self._url, self._stalled_s = url, stalled_s

    def call_with_retry(self, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < _stalled_until.get(self._url, 0.0):
            raise RedisConnectionError("Redis did not answer a moment ago.")
        try:
            return super().call_with_retry(*args, **kwargs)
        except RedisTimeoutError:
            _stalled_until[self._url] = time.monotonic() + self._stalled_s
            raise
