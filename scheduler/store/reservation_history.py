"""The reservations that one cycle leaves to the next, as rows."""

from uuid import UUID

from django.db.models import F, Func, Value

from deployments.models import Deployment, Status
from deployments.scheduling_key import FOR_GOOD, OWNER, request_in
from mlops_platform.api.ids import milliseconds, moment
from scheduler import models
from scheduler.engine import Plan, Snapshot
from scheduler.engine.reservations.history import history_after
from scheduler.engine.snapshot import ReservationRecord

_WITHOUT_OWNER = Func(
    F("deployment__scheduling_key"), Value(OWNER), Value(1), function="split_part"
)
REQUEST = Func(_WITHOUT_OWNER, Value(f"{FOR_GOOD}$"), Value(""), function="regexp_replace")


def history_in(cluster_id: UUID) -> tuple[ReservationRecord, ...]:
    """Of the deployments that still wait with the request for which capacity was reserved."""
    rows = models.ReservationRecord.objects.filter(
        cluster=cluster_id,
        deployment__status=Status.QUEUED,
        deployment__queued_at=F("queued_at"),
        request=REQUEST,
    )
    return tuple(
        ReservationRecord(
            str(row.pk), row.before_ms, None if row.since is None else milliseconds(row.since)
        )
        for row in rows.order_by("pk")
    )


def remember(snapshot: Snapshot, plan: Plan) -> bool:
    """Write what the plan changes, inside the caller's transaction; True if it changes anything."""
    after = history_after(snapshot, plan)
    if after == snapshot.reservation_history:
        return False
    cluster_id = UUID(snapshot.cluster_id)
    models.ReservationRecord.objects.filter(cluster=cluster_id).delete()
    known = {UUID(each.workload_id): each for each in after}
    rows = Deployment.objects.filter(pk__in=known).values_list("pk", "queued_at", "scheduling_key")
    models.ReservationRecord.objects.bulk_create(
        models.ReservationRecord(
            deployment_id=id_,
            cluster_id=cluster_id,
            queued_at=queued_at,
            request=request_in(scheduling_key),
            before_ms=known[id_].before_ms,
            since=None if (since_ms := known[id_].since_ms) is None else moment(since_ms),
        )
        for id_, queued_at, scheduling_key in rows
    )
    return True
