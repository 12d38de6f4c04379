"""What a cycle leaves to the next: for whom capacity is held back, and for how long it has been.

All else a cycle sees anew. This it cannot see: how long somebody has waited does not tell it, where
everybody has waited for long and had the hold for a moment only, or never.
"""

from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import ReservationRecord, Snapshot


def held_for_after(snapshot: Snapshot, plan: Plan) -> tuple[ReservationRecord, ...]:
    """The next snapshot's, of those who wait on. Who loses the hold to one more urgent keeps the
    time: else a few of these, again and again, would make it begin anew each time."""
    now_ms, started = snapshot.now_ms, {start.workload_id for start in plan.starts}
    after = {}
    for each in snapshot.held_for:
        if each.workload_id == plan.holder:
            after[plan.holder] = each if each.since_ms is not None else _from(now_ms, each)
        elif each.workload_id not in started and (held_ms := each.held_ms(now_ms)):
            after[each.workload_id] = ReservationRecord(each.workload_id, held_ms, None)
    if plan.holder is not None and plan.holder not in after:
        after[plan.holder] = ReservationRecord(plan.holder, 0, now_ms)
    return tuple(after[id_] for id_ in sorted(after))


def _from(now_ms: int, holder: ReservationRecord) -> ReservationRecord:
    return ReservationRecord(holder.workload_id, holder.before_ms, now_ms)
