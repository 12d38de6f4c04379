"""One scheduling cycle of one cluster: read, decide, check, apply, record, in one transaction.

The transaction sees one moment (REPEATABLE READ), and locks the cluster's row only to apply. So a
stop never waits for a plan: if it frees capacity meanwhile, PostgreSQL refuses the lock, and the
cycle plans again. Its last attempt locks the row first, and plans in few steps (ADR 19).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

from django.db import OperationalError, connection, transaction
from psycopg2.errors import SerializationFailure
from uuid_utils.compat import uuid7

from clusters.models import Cluster
from clusters.services.clusters import lock_cluster
from mlops_platform.database.row_waits import SHORT_S, transaction_limits
from mlops_platform.logs import bind_cycle
from scheduler import ledger, store
from scheduler.engine import Decision, Plan, Snapshot, decide
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.codec import encode_snapshot
from scheduler.engine.invariants import verify
from scheduler.models import Trigger
from scheduler.store import next_cycle

logger = logging.getLogger(__name__)

ATTEMPTS = 3
STEPS_UNDER_LOCK = 100_000
# Planning takes up to 20 s on a busy machine.
PLANNING = transaction_limits(idle_in_transaction_session_timeout=20, lock_timeout=SHORT_S)
Read = Callable[[UUID, store.Decide], Decision]


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What a cycle did, and the seconds that its phases took, for logs and metrics."""

    snapshot: Snapshot
    plan: Plan
    load_s: float
    plan_s: float
    apply_s: float

    @property
    def wants_another(self) -> bool:
        """It reached its limit, or a workload that it evicted waits now and was not looked at."""
        return self.plan.unfinished or bool(self.plan.evictions)

    @property
    def waited_s(self) -> list[tuple[str, float]]:
        """(Priority class, seconds from submit or requeue to admission) of each start."""
        queued = {workload.id: workload for workload in self.snapshot.queued}
        started = (queued[start.workload_id] for start in self.plan.starts)
        return [(w.priority, max(self.snapshot.now_ms - w.queued_ms, 0) / 1000) for w in started]


def run(
    cluster_id: UUID,
    trigger: Trigger,
    *,
    read: Read = store.read_and_decide,
    decide: store.Decide = decide,
) -> CycleResult | None:
    """None where the cluster is gone. Raises StalePlanError when rows keep changing under it."""
    cycle_id = uuid7()
    with bind_cycle(cycle_id):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result = _once(
                    cluster_id, cycle_id, trigger, read, decide, locked=attempt == ATTEMPTS
                )
            except Cluster.DoesNotExist:
                logger.info("cycle skipped: the cluster is gone")
                return None
            except (store.StalePlanError, OperationalError) as error:
                if not _is_stale(error):
                    raise
                logger.warning("plan refused", extra={"attempt": attempt, "error": str(error)})
                if attempt == ATTEMPTS:
                    raise
            else:
                _log(cluster_id, trigger, result)
                return result
    return None


def _is_stale(error: Exception) -> bool:
    """Whether the cycle failed since another transaction has changed what it read."""
    return isinstance(error, store.StalePlanError) or isinstance(
        error.__cause__, SerializationFailure
    )


def _once(
    cluster_id: UUID,
    cycle_id: UUID,
    trigger: Trigger,
    read: Read,
    decide: store.Decide,
    *,
    locked: bool,
) -> CycleResult:
    began, plan_s = perf_counter(), 0.0

    def timed(view: ClusterView) -> Decision:
        nonlocal plan_s
        started = perf_counter()
        decision = decide(view.with_steps(STEPS_UNDER_LOCK) if locked else view)
        plan_s += perf_counter() - started
        return decision

    with transaction.atomic():
        if locked:
            lock_cluster(cluster_id, limits=PLANNING)
        elif not connection.savepoint_ids:  # not within another transaction
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # 1. Read, 2. and decide: what matters to the plan depends on what is decided.
        decision = read(cluster_id, timed)
        load_s = perf_counter() - began - plan_s
        plan = decision.plan()
        plan_s = perf_counter() - began - load_s
        return check_apply_record(decision.snapshot, plan, cycle_id, trigger, (load_s, plan_s))


def check_apply_record(
    snapshot: Snapshot,
    plan: Plan,
    cycle_id: UUID,
    trigger: Trigger,
    spent: tuple[float, float] = (0.0, 0.0),
) -> CycleResult:
    """Check a plan, apply and record it, in the transaction that has read the snapshot: one that
    has locked the cluster's row before, or else a REPEATABLE READ one, in which the lock fails if
    another transaction has changed the row since. `spent`: seconds on reading the tables and on
    planning."""
    began = perf_counter()
    verify(snapshot, plan)  # 3. Check.
    # Written down before the lock, as that takes long for a large cluster.
    encoded = encode_snapshot(snapshot) if plan.starts or plan.evictions else None
    cluster = lock_cluster(UUID(snapshot.cluster_id))
    changed = store.apply_plan(snapshot, plan, cycle_id, cluster)  # 4. Apply.
    next_cycle.note(snapshot, plan, is_due=trigger == Trigger.TIMER)
    timing = (*spent, perf_counter() - began)
    if changed:
        ledger.write(cycle_id, trigger, snapshot, plan, timing, encoded=encoded)  # 5. Record.
    return CycleResult(snapshot, plan, *timing)


def _log(cluster_id: UUID, trigger: Trigger, result: CycleResult) -> None:
    took_s = result.load_s + result.plan_s + result.apply_s
    logger.info(
        "cycle: %s, started %d, evicted %d, in %.0f ms",
        trigger,
        len(result.plan.starts),
        len(result.plan.evictions),
        took_s * 1000,
        extra={
            "cluster_id": str(cluster_id),
            "trigger": str(trigger),
            "evaluated": len(result.snapshot.queued),
            "started": len(result.plan.starts),
            "evicted": len(result.plan.evictions),
            "load_ms": round(result.load_s * 1000, 2),
            "plan_ms": round(result.plan_s * 1000, 2),
            "apply_ms": round(result.apply_s * 1000, 2),
        },
    )
