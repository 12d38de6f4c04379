"""One cycle of the planner, on one screen."""

from scheduler.engine import reasons
from scheduler.engine.capacity import Capacity
from scheduler.engine.drain import drain, drained
from scheduler.engine.plan import Plan, Wait
from scheduler.engine.reasons import Reason
from scheduler.engine.snapshot import ACTIVE, STRICT, Snapshot, Workload
from scheduler.engine.state import CycleState
from scheduler.engine.wait_reasons import Explainer, impossible
from scheduler.engine.waiting_queue import WaitingQueue


def make_plan(snapshot: Snapshot, line: WaitingQueue | None = None, *, tell: bool = True) -> Plan:
    """Decide who starts, who yields and why the others wait. A pure function of the snapshot.

    Who plans very often may keep a line from one cycle to the next, without the impossible: it is
    taken in place of the snapshot's queue. Without `tell` nobody is told why it waits; that changes
    nothing else.
    """
    waiting: list[tuple[Workload, Reason]] = []
    # 1. Impossible: what the empty cluster could not run is told so, and counts for nothing below.
    if line is None:
        possible, waiting = sift(snapshot)
        line = WaitingQueue(snapshot, possible)  # 3. Order.
    # 2. Gates: a cluster that is paused or draining starts nobody.
    if snapshot.state != ACTIVE:
        waiting += [(workload, reasons.paused(snapshot.state)) for workload in line]
        evictions = tuple(drain(snapshot, running) for running in drained(snapshot))
        return Plan(evictions=evictions, waits=_told(waiting))
    # 2. and 4.-6. Each in turn: over its owner's quota it is passed over; place without harm; else
    # evict, if that makes it start; else wait.
    board = admit_in_turn(snapshot, line)
    full = len(board.starts) >= snapshot.max_starts
    unfinished = full and any(workload.id not in board.started for workload in line)
    # 7. Waits: why, in the numbers of the end of this cycle.
    waits = _waits(snapshot, line, board, waiting) if tell else ()
    hold = board.keepers.hold
    holder = hold.holder.id if hold is not None else None
    unfinished |= board.started_services and holder is not None
    return Plan(tuple(board.starts), tuple(board.evictions), waits, unfinished, holder)


def admit_in_turn(snapshot: Snapshot, line: WaitingQueue) -> CycleState:
    """All that changes anything."""
    board = CycleState(snapshot, line)
    keepers = board.keepers
    walk = line.walk(board.owners)
    strict = snapshot.policy.queueing == STRICT
    for workload in walk:
        if len(board.starts) >= snapshot.max_starts or (strict and keepers.head is not None):
            break
        if workload.id in board.started:
            continue
        before = keepers.present
        if not board.admit(workload):
            walk.refuse(workload)
        elif board.starts[-1].victims or keepers.present != before:
            walk.retry(board.worth_another_look)  # victims made way, or a promise is kept
        if keepers.hold is not None:  # an equal may have been refused for the holder's own hold
            walk.call(keepers.hold.holder)
    return board


def sift(snapshot: Snapshot) -> tuple[list[Workload], list[tuple[Workload, Reason]]]:
    """Those who could run in the empty cluster, and those who never could, with the reason."""
    capacity = Capacity(snapshot)
    never: dict[str, Reason | None] = {}  # by scheduling key
    possible, waiting = [], []
    for workload in snapshot.queued:
        key = workload.scheduling_key
        if key not in never:
            never[key] = impossible(capacity, workload)
        if (reason := never[key]) is None:
            possible.append(workload)
        else:
            waiting.append((workload, reason))
    return possible, waiting


def _waits(
    snapshot: Snapshot,
    line: WaitingQueue,
    board: CycleState,
    waiting: list[tuple[Workload, Reason]],
) -> tuple[Wait, ...]:
    explain = Explainer(snapshot, board)
    left = [workload for workload in line if workload.id not in board.started]
    told = [*waiting, *((workload, explain.why(workload)) for workload in left)]
    strict = snapshot.policy.queueing == STRICT
    return _told(told, alone=board.keepers.head if strict else None)


def _told(
    waiting: list[tuple[Workload, Reason]], alone: Workload | None = None
) -> tuple[Wait, ...]:
    """One wait per scheduling key, the last in line speaking for all; others where they differ, and
    one who speaks for nobody else."""
    spoken = {
        workload.scheduling_key: reason for workload, reason in waiting if workload is not alone
    }
    own = [
        Wait(workload.scheduling_key, reason, workload.id)
        for workload, reason in waiting
        if reason != spoken.get(workload.scheduling_key)
    ]
    return (*(Wait(key, reason) for key, reason in sorted(spoken.items())), *own)
