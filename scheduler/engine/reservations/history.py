"""What a cycle leaves to the next: for whom capacity is held back, and for how long it has been.

All else a cycle sees anew. This it cannot see: how long somebody has waited does not tell it, where
everybody has waited for long and had the hold for a moment only, or never.
"""

from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import ReservationRecord, Snapshot


def history_after(snapshot: Snapshot, plan: Plan) -> tuple[ReservationRecord, ...]:
    """The next snapshot's, of those who wait on. Who loses the hold to one more urgent keeps the
    time: else a few of these, again and again, would make it begin anew each time."""
    now_ms, started = snapshot.now_ms, {start.workload_id for start in plan.starts}
    after = {}
    for each in snapshot.reservation_history:
        if each.workload_id == plan.reserved_for:
            after[plan.reserved_for] = each if each.since_ms is not None else _from(now_ms, each)
        elif each.workload_id not in started and (lasted_ms := each.lasted_ms(now_ms)):
            after[each.workload_id] = ReservationRecord(each.workload_id, lasted_ms, None)
    if plan.reserved_for is not None and plan.reserved_for not in after:
        after[plan.reserved_for] = ReservationRecord(plan.reserved_for, 0, now_ms)
    return tuple(after[id_] for id_ in sorted(after))


def _from(now_ms: int, reserved_for: ReservationRecord) -> ReservationRecord:
    return ReservationRecord(reserved_for.workload_id, reserved_for.before_ms, now_ms)
