"""Waking the scheduler: many rings before a cycle make one cycle, and no ring is lost.

A cluster's flag in Redis says "a cycle is wanted" and what rang first. Whoever sets it enqueues the
task; whoever finds it set need not. A cycle clears it before it looks, so a ring that comes while
it looks sets it anew. What Redis loses, the sweep finds.
"""

import logging
from uuid import UUID

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops_platform.api.redis import redis_client
from scheduler.models import Trigger

logger = logging.getLogger(__name__)


def request_cycle(cluster_id: UUID, trigger: str, *, again: bool = False) -> None:
    """Ask for a cycle. Never raises for want of Redis: the sweep asks again, with `again`.

    `again` enqueues a task even where the flag stands: its message may be lost.
    """
    try:
        if ring(cluster_id, trigger) or again:
            enqueue(cluster_id)
    except (RedisError, OperationalError, OSError) as error:
        logger.warning(
            "cycle not requested: redis is away; the sweep will ask again",
            extra={"cluster_id": str(cluster_id), "error": str(error)},
        )


def ring(cluster_id: UUID, trigger: str) -> bool:
    """Set the flag alone: whoever holds the lock looks at it later. True where it was clear."""
    return bool(redis_client().set(_flag(cluster_id), trigger, nx=True))


def enqueue(cluster_id: UUID) -> None:
    from scheduler.tasks import schedule_cluster  # the task rings this bell too

    schedule_cluster.delay(str(cluster_id))


def answer(cluster_id: UUID) -> Trigger | None:
    """Clear the flag and tell what rang first; None where nobody did."""
    rung = redis_client().getdel(_flag(cluster_id))
    return Trigger(str(rung)) if rung else None


def is_ringing(cluster_id: UUID) -> bool:
    return bool(redis_client().exists(_flag(cluster_id)))


def _flag(cluster_id: UUID) -> str:
    return f"cluster:{cluster_id}:dirty"
