"""Writing and reading the ledger."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from mlops_platform.api.ids import moment
from scheduler.engine import ENGINE_VERSION, Plan, Snapshot
from scheduler.engine.codec import (
    UnreadableLedgerError,
    decode_plan,
    encode_plan,
    encode_snapshot,
)
from scheduler.models import SchedulingCycle, Trigger

MOST_DELETED = 100  # at once: a snapshot may have megabytes


def write(
    cycle_id: UUID,
    trigger: Trigger,
    snapshot: Snapshot,
    plan: Plan,
    timing: tuple[float, float, float],
    *,
    encoded: bytes | None = None,
) -> None:
    """Record one cycle, in the transaction that it describes. `timing`: the seconds spent on
    reading the tables, on planning and on applying the plan. `encoded` is the encoded snapshot,
    where the caller has it."""
    load_ms, plan_ms, apply_ms = (round(seconds * 1000, 3) for seconds in timing)
    SchedulingCycle.objects.create(
        id=cycle_id,
        cluster_id=snapshot.cluster_id,
        trigger=trigger,
        started_at=moment(snapshot.now_ms),
        load_ms=load_ms,
        plan_ms=plan_ms,
        apply_ms=apply_ms,
        evaluated_count=len(snapshot.queued),
        started_count=len(plan.starts),
        evicted_count=len(plan.evictions),
        waiting_count=len(snapshot.queued) - len(plan.starts),
        engine_version=ENGINE_VERSION,
        snapshot=encoded or encode_snapshot(snapshot),
        plan=encode_plan(plan),
    )


def plan_of(cycle: SchedulingCycle) -> Plan | None:
    """The recorded plan; None where another version of the platform wrote it."""
    try:
        return decode_plan(bytes(cycle.plan))
    except (UnreadableLedgerError, ValueError, TypeError):
        return None


def delete_some_rows(cluster_id: UUID, most: int) -> int:
    """Delete some of a deleted cluster's cycles, which are large; returns how many."""
    cycles = SchedulingCycle.objects.filter(cluster=cluster_id).order_by("-started_at", "-id")
    ids = list(cycles.values_list("pk", flat=True)[: min(most, MOST_DELETED)])
    if ids:
        SchedulingCycle.objects.filter(pk__in=ids).delete()
    return len(ids)


def forget_old() -> int:
    """Delete cycles older than the retention; returns how many."""
    oldest = timezone.now() - timedelta(days=settings.LEDGER_RETENTION_DAYS)
    deleted, _ = SchedulingCycle.objects.filter(started_at__lt=oldest).delete()
    return deleted
