"""The one way to Redis: a pooled client that fails soon rather than delay a request."""

import time
from functools import cache
from typing import Any

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

STALLED_S = 2.0  # after a timeout, for so long no call in this process waits for another

_stalled_until = 0.0  # time.monotonic()


def redis_client() -> Redis:
    """The process's client; answers are text. Safe to share among threads and across a fork.

    A connection that broke while it lay idle (Redis was restarted) is tried once more at once. A
    timeout is not, and what follows it within STALLED_S fails at once: a submit speaks to Redis
    three times, and a frozen Redis must cost it one timeout, not three.
    """
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT_S)


@cache
def _client(url: str, timeout_s: float) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        retry=_Impatient(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=True,
    )


class _Impatient(Retry):
    """Every command and every connecting goes through here."""

    def call_with_retry(self, *args: Any, **kwargs: Any) -> Any:
        global _stalled_until  # noqa: PLW0603  # one per process: connections copy their Retry
        if time.monotonic() < _stalled_until:
            raise RedisConnectionError("Redis did not answer a moment ago.")
        try:
            return super().call_with_retry(*args, **kwargs)
        except RedisTimeoutError:
            _stalled_until = time.monotonic() + STALLED_S
            raise
