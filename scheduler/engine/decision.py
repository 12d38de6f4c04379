"""One cycle of the planner, on one screen."""

from scheduler.engine import reasons
from scheduler.engine.capacity import Capacity
from scheduler.engine.drain import drain, drained
from scheduler.engine.plan import Plan, Wait
from scheduler.engine.reasons import Reason
from scheduler.engine.snapshot import ACTIVE, STRICT, Snapshot, Workload
from scheduler.engine.state import CycleState
from scheduler.engine.wait_reasons import WaitReasons, impossible
from scheduler.engine.waiting_queue import WaitingQueue


def make_plan(snapshot: Snapshot, queue: WaitingQueue | None = None, *, tell: bool = True) -> Plan:
    """Decide who starts, who yields and why the others wait. A pure function of the snapshot.

    Who plans very often may keep a line from one cycle to the next, without the impossible: it is
    taken in place of the snapshot's queue. Without `tell` nobody is told why it waits; that changes
    nothing else.
    """
    waiting: list[tuple[Workload, Reason]] = []
    # 1. Impossible: what the empty cluster could not run is told so, and counts for nothing below.
    if queue is None:
        possible, waiting = sift(snapshot)
        queue = WaitingQueue(snapshot, possible)  # 3. Order.
    # 2. Gates: a cluster that is paused or draining starts nobody.
    if snapshot.state != ACTIVE:
        waiting += [(workload, reasons.paused(snapshot.state)) for workload in queue]
        evictions = tuple(drain(snapshot, running) for running in drained(snapshot))
        return Plan(evictions=evictions, waits=_told(waiting))
    # 2. and 4.-6. Each in turn: over its owner's quota it is passed over; place without harm; else
    # evict, if that makes it start; else wait.
    state = admit_in_turn(snapshot, queue)
    full = len(state.starts) >= snapshot.max_starts
    unfinished = full and any(workload.id not in state.started for workload in queue)
    # 7. Waits: why, in the numbers of the end of this cycle.
    waits = _waits(snapshot, queue, state, waiting) if tell else ()
    starvation = state.reservations.starvation
    reserved_for = starvation.reserved_for.id if starvation is not None else None
    unfinished |= state.started_long_running and reserved_for is not None
    return Plan(tuple(state.starts), tuple(state.evictions), waits, unfinished, reserved_for)


def admit_in_turn(snapshot: Snapshot, queue: WaitingQueue) -> CycleState:
    """All that changes anything."""
    state = CycleState(snapshot, queue)
    reservations = state.reservations
    iterator = queue.iterate(state.usage)
    strict = snapshot.policy.queueing == STRICT
    for workload in iterator:
        if len(state.starts) >= snapshot.max_starts or (strict and reservations.head is not None):
            break
        if workload.id in state.started:
            continue
        before = reservations.active
        if not state.admit(workload):
            iterator.refuse(workload)
        elif state.starts[-1].victims or reservations.active != before:
            iterator.retry(state.worth_another_look)  # victims made way, or a promise is kept
        if (
            reservations.starvation is not None
        ):  # an equal may have been refused for the holder's own hold
            iterator.revisit(reservations.starvation.reserved_for)
    return state


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
    queue: WaitingQueue,
    state: CycleState,
    waiting: list[tuple[Workload, Reason]],
) -> tuple[Wait, ...]:
    explain = WaitReasons(snapshot, state)
    left = [workload for workload in queue if workload.id not in state.started]
    told = [*waiting, *((workload, explain.why(workload)) for workload in left)]
    strict = snapshot.policy.queueing == STRICT
    return _told(told, alone=state.reservations.head if strict else None)


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
