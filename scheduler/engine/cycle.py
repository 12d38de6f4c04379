"""One cycle of the planner, on one screen."""

from scheduler.engine import reasons
from scheduler.engine.board import Board
from scheduler.engine.order import order_key
from scheduler.engine.plan import Eviction, Plan, Wait
from scheduler.engine.reasons import Reason
from scheduler.engine.snapshot import ACTIVE, DRAINING, STRICT, Snapshot, Workload
from scheduler.engine.victims import cost, lost_ms


def make_plan(snapshot: Snapshot) -> Plan:
    """Decide who starts, who yields and why the others wait. A pure function of the snapshot."""
    # 1. Impossible: what the empty cluster could not run is told so, and counts for nothing below.
    line = [workload for workload in snapshot.queued if workload.total.fits_in(snapshot.total)]
    waiting = [
        (workload, reasons.exceeds_capacity(workload.total, snapshot.total))
        for workload in snapshot.queued
        if not workload.total.fits_in(snapshot.total)
    ]
    # 2. Gates: a cluster that is paused or draining starts nobody.
    if snapshot.state != ACTIVE:
        waiting += [(workload, reasons.paused(snapshot.state)) for workload in line]
        return Plan(evictions=_drained(snapshot), waits=_told(waiting))
    # 3. Order.
    line.sort(key=order_key(snapshot))
    # 4.-6. Each in turn: place without harm; else evict, if that makes it start; else wait.
    board = Board(snapshot, line)
    head = None
    for workload in line:
        if len(board.starts) >= snapshot.max_starts:
            break
        if not board.admit(workload) and snapshot.policy.queueing == STRICT:
            head = workload
            break
    # 7. Waits: why, in the numbers of the end of this cycle.
    left = [workload for workload in line if workload.id not in board.started]
    waiting += [(workload, _why(board, workload, head)) for workload in left]
    return Plan(
        starts=tuple(board.starts),
        evictions=tuple(board.evictions),
        waits=_told(waiting),
        unfinished=bool(left) and len(board.starts) >= snapshot.max_starts,
    )


def _why(board: Board, workload: Workload, head: Workload | None) -> Reason:
    if head is not None and workload is not head:
        return reasons.blocked_by(head.id)
    if not workload.total.fits_in(board.free):
        return reasons.insufficient(workload.total, board.free)
    holder = board.holder
    if (
        holder is not None
        and holder is not workload
        and not workload.total.fits_in(board.usable(workload))
    ):
        return reasons.reserved_for(holder.id)
    return reasons.NOT_YET_EVALUATED  # the cycle reached its limit before its turn


def _told(waiting: list[tuple[Workload, Reason]]) -> tuple[Wait, ...]:
    """One wait per scheduling key, the last in line speaking for all; others where they differ."""
    spoken = {workload.scheduling_key: reason for workload, reason in waiting}
    own = [
        Wait(workload.scheduling_key, reason, workload.id)
        for workload, reason in waiting
        if reason != spoken[workload.scheduling_key]
    ]
    return (*(Wait(key, reason) for key, reason in sorted(spoken.items())), *own)


def _drained(snapshot: Snapshot) -> tuple[Eviction, ...]:
    if snapshot.state != DRAINING:
        return ()
    return tuple(
        Eviction(
            running.id,
            reasons.DRAINED,
            lost_ms=lost_ms(running, snapshot.now_ms),
            cost=cost(running, snapshot.total, snapshot.now_ms),
        )
        for running in sorted(snapshot.running, key=lambda r: r.id)
    )
