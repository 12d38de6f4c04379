"""Writing and reading the ledger."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from mlops_platform.api.ids import moment
from mlops_platform.database.shares import beyond_share
from scheduler.engine import ENGINE_VERSION, Plan, Snapshot
from scheduler.engine.codec import (
    UnreadableLedgerError,
    decode_plan,
    encode_plan,
    encode_snapshot,
)
from scheduler.models import SchedulingCycle, Trigger

MOST_DELETED = 100  # at once: a snapshot may have megabytes
MOST_FOUND = 2_000  # cycles above their organizations' shares that one search finds
MIB = 1024 * 1024

_SIZES = """
SELECT c.organization_id, s.id, s.started_at AS age,
       octet_length(s.snapshot) + octet_length(s.plan) AS bytes
  FROM scheduler_schedulingcycle s JOIN clusters_cluster c ON c.id = s.cluster_id
"""


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
    return _delete(ids) if ids else 0


def forget(before: datetime) -> Iterator[int]:
    """Delete cycles from before that time, the oldest first; yields how many each short transaction
    has deleted."""
    old = SchedulingCycle.objects.filter(started_at__lt=before).order_by("started_at")
    while ids := list(old.values_list("pk", flat=True)[:MOST_DELETED]):
        yield _delete(ids)


def forget_beyond(share_mib: int) -> Iterator[int]:
    """The same for the oldest cycles of each organization that has more than its share."""
    for ids in beyond_share(_SIZES, share_mib * MIB, MOST_FOUND):
        for start in range(0, len(ids), MOST_DELETED):
            yield _delete(ids[start : start + MOST_DELETED])


def _delete(ids: Sequence[UUID]) -> int:
    deleted, _ = SchedulingCycle.objects.filter(pk__in=ids).delete()
    return deleted
