"""Why running workloads are not evicted for a waiting one.

Only what has allocated some of the resources that the waiting workload lacks could make room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scheduler.engine.decision import Decision
from scheduler.engine.placement.windows import in_any_window
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.reservations.profile import DelayedStart
from scheduler.engine.reservations.starvation import FOREVER_MS
from scheduler.engine.snapshot import (
    LOWER_PRIORITY,
    NEVER,
    OTHER_THAN,
    STRICT,
    Running,
    Snapshot,
    Workload,
)
from scheduler.engine.state import CycleState

MOST_EXAMPLES = 3


class Cause(StrEnum):
    """The first that applies, in this order."""

    LEAVES_ANYWAY = "LEAVES_ANYWAY"  # it stops, or its node drains
    CLASS_MAY_NOT_PREEMPT = "CLASS_MAY_NOT_PREEMPT"  # that of the waiting workload
    SAME_OR_HIGHER_CLASS = "SAME_OR_HIGHER_CLASS"
    PREEMPTION_OFF = "PREEMPTION_OFF"
    AVOIDED_NODE = "AVOIDED_NODE"  # the one at fault, which the one that waits avoids for a while
    MAINTENANCE_WINDOW = "MAINTENANCE_WINDOW"  # the one that waits may run into it
    OTHER_NODES = "OTHER_NODES"  # closed ones, or without the labels that it selects
    CLASS_NOT_PREEMPTIBLE = "CLASS_NOT_PREEMPTIBLE"
    MAX_PREEMPTIONS = "MAX_PREEMPTIONS"
    EXEMPT = "EXEMPT"
    PREEMPTION_DELAY = "PREEMPTION_DELAY"  # a time limit promises the one that waits its place
    NOT_ITS_TURN = (
        "NOT_ITS_TURN"  # a pause, a quota, a sweep or the head of a strict queue comes first
    )
    LOW_SHARE = "LOW_SHARE"  # their classes keep that share of what the one that waits lacks
    RESERVED = "RESERVED"  # what would come free there is promised to another workload
    TOO_LITTLE = "TOO_LITTLE"  # all that may be evicted would free too little


@dataclass(frozen=True, slots=True)
class Spared:
    """The running workloads that are spared for one cause.

    `until_ms` is the first moment at which the cause no longer applies to one of them: None where
    time does not end it. `examples` have such a moment each: the first ones to lose their exempt
    time, else the largest workloads.
    """

    cause: Cause
    count: int
    until_ms: int | None
    examples: tuple[tuple[Running, int | None], ...]


def spared_by_cause(
    decision: Decision, workload: Workload, occupants: list[Running]
) -> tuple[Spared, ...]:
    """The `occupants` by the cause for which they are not evicted, in the order of Cause.

    `decision` is that of a cycle in which the workload waits on, and `occupants` what has allocated
    the resources that it lacks, the largest first (whatif.occupants).
    """
    cause_of, snapshot = _causes(decision, workload), decision.snapshot
    classes = decision.view.cluster.classes
    found: dict[Cause, list[tuple[Running, int | None]]] = {}
    for running in occupants:
        cause, until_ms = cause_of(running), None
        if cause is Cause.EXEMPT:
            its = classes[running.priority]
            until_ms = evictable_from(running, its, snapshot.policy, workload.queued_ms)
        elif cause is Cause.PREEMPTION_DELAY and (promise := _promise_to(decision, workload)):
            until_ms = promise.deadline_ms
        found.setdefault(cause, []).append((running, until_ms))
    return tuple(_spared(cause, found[cause]) for cause in Cause if cause in found)


def _promise_to(decision: Decision, workload: Workload) -> DelayedStart | None:
    if decision.state is None or decision.state.delays is None:
        return None
    promises = decision.state.delays.promises
    return next((each for each in promises if each.reserved_for.origin.id == workload.id), None)


def _spared(cause: Cause, those: list[tuple[Running, int | None]]) -> Spared:
    those = sorted(those, key=lambda each: FOREVER_MS if each[1] is None else each[1])  # stable
    return Spared(cause, len(those), those[0][1], tuple(those[:MOST_EXAMPLES]))


def _causes(decision: Decision, workload: Workload) -> Callable[[Running], Cause]:
    snapshot, capacity = decision.snapshot, decision.view.cluster.capacity
    policy, classes = snapshot.policy, decision.view.cluster.classes
    own, state = classes[workload.priority], decision.state
    eligible = set(capacity.eligible(workload.selector))
    anywhere = in_any_window(workload.selector)
    closed = set(capacity.eligible(anywhere)) - eligible
    elsewhere = tuple(label for label in anywhere if not label[0].startswith(OTHER_THAN))
    avoided = set(capacity.eligible(elsewhere)) - eligible - closed
    leaving = {each.id for each in decision.view.running.leaving}
    is_turn = state is not None and _is_its_turn(snapshot, state, workload)
    is_delayed = _promise_to(decision, workload) is not None
    promised = frozenset[int]() if state is None else state.reservations.promised_bins(workload)

    def cause_of(running: Running) -> Cause:
        its = classes[running.priority]
        bins = {at for at, _ in capacity.bins_of(running.placement)}
        if running.id in leaving or running.stopping:
            return Cause.LEAVES_ANYWAY
        if not own.may_preempt:
            return Cause.CLASS_MAY_NOT_PREEMPT
        if its.value >= own.value:
            return Cause.SAME_OR_HIGHER_CLASS
        if policy.preemption != LOWER_PRIORITY:
            return Cause.PREEMPTION_OFF
        if not bins & eligible and bins & closed:
            return Cause.MAINTENANCE_WINDOW
        if not bins & eligible:
            return Cause.AVOIDED_NODE if bins & avoided else Cause.OTHER_NODES
        if not its.preemptible:
            return Cause.CLASS_NOT_PREEMPTIBLE
        if running.preemptions >= policy.max_preemptions:
            return Cause.MAX_PREEMPTIONS
        from_ms = evictable_from(running, its, policy, workload.queued_ms)
        if from_ms is None or from_ms > snapshot.now_ms:
            return Cause.EXEMPT
        if is_delayed:
            return Cause.PREEMPTION_DELAY
        if not is_turn:
            return Cause.NOT_ITS_TURN
        guarantee = None if state is None else state.guarantee
        if guarantee is not None and guarantee.protects(running, workload, capacity):
            return Cause.LOW_SHARE
        return Cause.RESERVED if bins & promised else Cause.TOO_LITTLE

    return cause_of


def _is_its_turn(snapshot: Snapshot, state: CycleState, workload: Workload) -> bool:
    """Whether the cycle looks for victims at the workload's turn."""
    reservations, usage = state.reservations, state.usage
    head = reservations.head
    if snapshot.policy.queueing == STRICT and head is not None and head.origin.id != workload.id:
        return False
    if usage is None:
        return True
    if usage.sweeps.is_full(workload):
        return False
    if not usage.over_quota(workload, reservations.reserved_quota(workload)):
        return True
    return snapshot.policy.preemption_within_quota != NEVER  # by victims of its own owner
