"""One scheduling cycle of one cluster: load, plan, check, apply, in one transaction."""

import logging
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

from django.db import transaction
from uuid_utils.compat import uuid7

from clusters.models import Cluster
from mlops_platform.logs import bind_cycle
from scheduler import ledger, store
from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import verify
from scheduler.models import Trigger

logger = logging.getLogger(__name__)

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What a cycle did, for logs and metrics. Times, and the waits of the admitted, in seconds."""

    snapshot: Snapshot
    plan: Plan
    load_s: float
    plan_s: float
    apply_s: float
    waited_s: list[tuple[str, float]]

    @property
    def wants_another(self) -> bool:
        """It reached its limit, or somebody evicted waits now and has not been looked at."""
        return self.plan.unfinished or bool(self.plan.evictions)


def run(cluster_id: UUID, trigger: Trigger) -> CycleResult | None:
    """None where the cluster is gone. Raises StalePlanError when rows keep changing under it."""
    cycle_id = uuid7()
    with bind_cycle(cycle_id):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                outcome = _once(cluster_id, cycle_id, trigger)
            except Cluster.DoesNotExist:
                logger.info("cycle skipped: the cluster is gone")
                return None
            except store.StalePlanError as error:
                logger.warning("plan refused", extra={"attempt": attempt, "error": str(error)})
                if attempt == ATTEMPTS:
                    raise
            else:
                _log(cluster_id, trigger, outcome)
                return outcome
    return None


def _once(cluster_id: UUID, cycle_id: UUID, trigger: Trigger) -> CycleResult:
    began = perf_counter()
    with transaction.atomic():
        snapshot = store.load_snapshot(cluster_id)
        loaded = perf_counter()
        plan = make_plan(snapshot)
        spent = (loaded - began, perf_counter() - loaded)
        return settle(snapshot, plan, cycle_id, trigger, spent)


def settle(
    snapshot: Snapshot,
    plan: Plan,
    cycle_id: UUID,
    trigger: Trigger,
    spent: tuple[float, float] = (0.0, 0.0),
) -> CycleResult:
    """Check a plan, make it so and write it down, in the caller's transaction, which holds the
    cluster's lock since before the snapshot. `spent`: seconds on loading and planning."""
    began = perf_counter()
    verify(snapshot, plan)
    changed = store.apply_plan(snapshot, plan, cycle_id)
    timing = (*spent, perf_counter() - began)
    if changed:
        ledger.write(cycle_id, trigger, snapshot, plan, timing)
    return CycleResult(snapshot, plan, *timing, waited_s=_waits(snapshot, plan))


def _waits(snapshot: Snapshot, plan: Plan) -> list[tuple[str, float]]:
    """(Priority class, seconds from submit or requeue to admission) of each start."""
    queued = {workload.id: workload for workload in snapshot.queued}
    started = (queued[start.workload_id] for start in plan.starts)
    return [(w.priority, max(snapshot.now_ms - w.queued_ms, 0) / 1000) for w in started]


def _log(cluster_id: UUID, trigger: Trigger, outcome: CycleResult) -> None:
    took_s = outcome.load_s + outcome.plan_s + outcome.apply_s
    logger.info(
        "cycle: %s, started %d, evicted %d, in %.0f ms",
        trigger,
        len(outcome.plan.starts),
        len(outcome.plan.evictions),
        took_s * 1000,
        extra={
            "cluster_id": str(cluster_id),
            "trigger": str(trigger),
            "evaluated": len(outcome.snapshot.queued),
            "started": len(outcome.plan.starts),
            "evicted": len(outcome.plan.evictions),
            "load_ms": round(outcome.load_s * 1000, 2),
            "plan_ms": round(outcome.plan_s * 1000, 2),
            "apply_ms": round(outcome.apply_s * 1000, 2),
        },
    )
