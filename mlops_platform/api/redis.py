"""The one way to Redis: a pooled client that would rather fail soon than hold up a request."""

from functools import cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry


def redis_client() -> Redis:
    """The process's client; answers are text. Safe to share among threads and across a fork.

    A connection that broke while it lay idle (Redis was restarted) is tried once more at once. A
    timeout is not: it would double what a dead Redis costs a submit.
    """
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT_S)


@cache
def _client(url: str, timeout_s: float) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=True,
    )
