"""A circuit breaker for each endpoint: the longer an endpoint does not answer, the rarer the calls.

The state is in Redis, so that the workers of all machines share it.
"""

import time
from collections.abc import Collection
from uuid import UUID

from mlops_platform.coordination.redis import redis_client

FIRST_S, LONGEST_S = 2.0, 60.0
FORGET_S = 600


def is_open(endpoint_id: UUID) -> bool:
    """Whether it is too early to call the endpoint again."""
    return bool(redis_client().exists(_key(endpoint_id, "open")))


def failed(endpoint_id: UUID) -> None:
    """The endpoint gave no answer: the next call may come after 2, 4, 8, … 60 seconds."""
    client, counter = redis_client(), _key(endpoint_id, "failures")
    count = int(client.incr(counter))
    client.expire(counter, FORGET_S)
    pause_s = min(FIRST_S * 2 ** min(count - 1, 10), LONGEST_S)
    client.set(_key(endpoint_id, "open"), time.time(), px=int(pause_s * 1000))


def doubt(endpoint_id: UUID) -> None:
    """The endpoint cost much time: `are_doubtful` for a while, and called all the same."""
    redis_client().set(_key(endpoint_id, "failures"), 0, nx=True, ex=FORGET_S)


def are_doubtful(endpoint_ids: Collection[UUID]) -> bool:
    """Whether any of the endpoints has failed, or has cost much time, of late."""
    if not endpoint_ids:
        return False
    return bool(redis_client().exists(*(_key(each, "failures") for each in endpoint_ids)))


def call_again(endpoint_id: UUID) -> None:
    """Let the next pass call the endpoint: it shows a sign of life. It stays doubtful."""
    redis_client().delete(_key(endpoint_id, "open"))


def answered(endpoint_id: UUID) -> None:
    redis_client().delete(_key(endpoint_id, "open"), _key(endpoint_id, "failures"))


def _key(endpoint_id: UUID, what: str) -> str:
    return f"endpoint:{endpoint_id}:{what}"
