"""What one cycle leaves to the next: read for the snapshot, written with the plan."""

from uuid import UUID

from deployments.models import Status
from scheduler import models
from scheduler.engine import Plan, Snapshot
from scheduler.engine.memory import held_for_after
from scheduler.engine.snapshot import HeldFor
from scheduler.store.times import milliseconds, moment


def held_for_in(cluster_id: UUID) -> tuple[HeldFor, ...]:
    """For whom it has held capacity back, of those who still wait."""
    rows = models.HeldFor.objects.filter(cluster=cluster_id, deployment__status=Status.QUEUED)
    return tuple(
        HeldFor(str(row.pk), row.before_ms, None if row.since is None else milliseconds(row.since))
        for row in rows.order_by("pk")
    )


def remember(snapshot: Snapshot, plan: Plan) -> bool:
    """Inside the caller's transaction; True if it is anything new."""
    after = held_for_after(snapshot, plan)
    if after == snapshot.held_for:
        return False
    cluster_id = UUID(snapshot.cluster_id)
    models.HeldFor.objects.filter(cluster_id=cluster_id).delete()
    models.HeldFor.objects.bulk_create(
        models.HeldFor(
            deployment_id=UUID(each.workload_id),
            cluster_id=cluster_id,
            before_ms=each.before_ms,
            since=None if each.since_ms is None else moment(each.since_ms),
        )
        for each in after
    )
    return True
