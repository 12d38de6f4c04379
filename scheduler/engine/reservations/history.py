"""What a cycle leaves to the next: for which workloads capacity is reserved, and for how long.

A cycle sees all else anew. It cannot see this: where every workload has waited for long, its wait
does not say for how long it had the reservation, if ever.
"""

from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import ReservationRecord, Snapshot


def history_after(snapshot: Snapshot, plan: Plan) -> tuple[ReservationRecord, ...]:
    """The history for the next snapshot, of the workloads that wait on. A workload that loses the
    reservation to a more urgent one keeps its time: else a few of these, again and again, would
    make it begin anew each time."""
    now_ms, started = snapshot.now_ms, {start.workload_id for start in plan.starts}
    after = {}
    for each in snapshot.reservation_history:
        if each.workload_id in plan.reserved_for:
            after[each.workload_id] = each if each.since_ms is not None else _from(now_ms, each)
        elif each.workload_id not in started and (lasted_ms := each.lasted_ms(now_ms)):
            after[each.workload_id] = ReservationRecord(each.workload_id, lasted_ms, None)
    for id_ in plan.reserved_for:
        if id_ not in after:
            after[id_] = ReservationRecord(id_, 0, now_ms)
    return tuple(after[id_] for id_ in sorted(after))


def _from(now_ms: int, reserved_for: ReservationRecord) -> ReservationRecord:
    return ReservationRecord(reserved_for.workload_id, reserved_for.before_ms, now_ms)
