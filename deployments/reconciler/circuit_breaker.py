"""A circuit breaker for each endpoint: who does not answer is asked less and less often.

Kept in Redis, so that the workers of all machines share what one of them has found.
"""

import time
from uuid import UUID

from mlops_platform.api.redis import redis_client

FIRST_S, LONGEST_S = 2.0, 60.0
FORGET_S = 600


def is_open(endpoint_id: UUID) -> bool:
    """Whether it is too early to ask again."""
    return bool(redis_client().exists(_key(endpoint_id, "open")))


def failed(endpoint_id: UUID) -> None:
    """It gave no answer: the next try is 2, 4, 8, … 60 seconds away."""
    client, counter = redis_client(), _key(endpoint_id, "failures")
    count = int(client.incr(counter))
    client.expire(counter, FORGET_S)
    pause_s = min(FIRST_S * 2 ** min(count - 1, 10), LONGEST_S)
    client.set(_key(endpoint_id, "open"), time.time(), px=int(pause_s * 1000))


def answered(endpoint_id: UUID) -> None:
    redis_client().delete(_key(endpoint_id, "open"), _key(endpoint_id, "failures"))


def _key(endpoint_id: UUID, what: str) -> str:
    return f"endpoint:{endpoint_id}:{what}"
