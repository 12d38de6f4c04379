"""The invariants that count no capacity: what is reserved, the limits of sweeps, and windows."""

from collections.abc import Sequence

from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import ACTIVE, STRICT, Snapshot, Window, Workload


def over_limits(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Start by start: no more members of a sweep have an allocation than its limit says."""
    breaches: list[str] = []
    running = {each.id: each.sweep for each in snapshot.running}
    left = {each.id: each.limit - each.allocated for each in snapshot.sweeps}
    sweeps = {workload.id: workload.sweep for workload in snapshot.queued if workload.sweep in left}
    drained = [each.workload_id for each in plan.evictions if each.by is None]
    for start in (None, *plan.starts):
        for victim in drained if start is None else start.victims:
            if (sweep := running.get(victim, "")) in left:
                left[sweep] += 1
        if start is not None and start.workload_id in sweeps:
            sweep = sweeps[start.workload_id]
            left[sweep] -= 1
            if left[sweep] < 0:
                breaches.append(f"{start.workload_id} takes the sweep {sweep} over its limit")
    return breaches


def reservation_faults(snapshot: Snapshot, plan: Plan, id_: str) -> list[str]:
    """Capacity is reserved for a workload that has waited long enough, and waits on."""
    if snapshot.state != ACTIVE or snapshot.policy.queueing == STRICT:
        return ["capacity is reserved where it never is"]
    reserved_for = next((each for each in snapshot.queued if each.id == id_), None)
    late_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    if reserved_for is None or reserved_for.queued_ms > late_ms:
        return [f"capacity is reserved for {id_}, which has not waited for so long"]
    if any(start.workload_id == id_ for start in plan.starts):
        return [f"capacity is reserved for {id_}, which starts"]
    return []


def windows_by_node(snapshot: Snapshot) -> dict[str | None, list[Window]]:
    """The windows of each node that has any."""
    found: dict[str | None, list[Window]] = {}
    for window in snapshot.windows:
        for id_ in window.node_ids:
            found.setdefault(id_, []).append(window)
    return found


def in_window(workload: Workload, windows: Sequence[Window], snapshot: Snapshot) -> bool:
    """Whether the workload, started now, might run in one of these."""
    lasts_s = workload.limit_s
    if lasts_s is None:
        lasts_s = snapshot.policy.assumed_runtime_s
    now_ms = snapshot.now_ms
    return any(
        window.ends_ms > now_ms
        and (window.begins_ms <= now_ms or window.begins_ms < now_ms + lasts_s * 1000)
        for window in windows
    )
