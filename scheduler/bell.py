"""Waking the scheduler: many rings before a cycle make one cycle, and no ring is lost."""

from uuid import UUID

from mlops_platform.api.waking import Bell
from scheduler.models import Trigger


def enqueue(cluster_id: UUID) -> None:
    from scheduler.tasks import schedule_cluster  # the task rings this bell too

    schedule_cluster.delay(str(cluster_id))


_bell = Bell("cluster:{}:dirty", enqueue)
request_cycle, ring, is_ringing = _bell.request, _bell.ring, _bell.is_ringing


def answer(cluster_id: UUID) -> Trigger | None:
    """Clear the flag and tell what rang first; None where nobody did."""
    rung = _bell.answer(cluster_id)
    return Trigger(rung) if rung else None
