"""What the planner decides about one snapshot, on one screen."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from scheduler.engine import reasons
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.drain import drain
from scheduler.engine.local_images import prefer_local_images
from scheduler.engine.placement.windows import coming, outside_windows
from scheduler.engine.plan import Plan, Start, Wait
from scheduler.engine.preemption.joint import Advice
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.reasons import Reason
from scheduler.engine.second_look import look_again
from scheduler.engine.snapshot import ACTIVE, STRICT, LocalImage, Snapshot, Workload
from scheduler.engine.state import CycleState
from scheduler.engine.wait_reasons import WaitReasons, closed_to, impossible, in_windows
from scheduler.engine.whole_nodes.variants import expand

Waiting = list[tuple[Workload, Reason]]
WORKLOAD_STEPS = 5


def make_plan(
    snapshot: Snapshot, queue: WaitingQueue | None = None, *, with_waits: bool = True
) -> Plan:
    """What starts, what is evicted and why the others wait. A pure function of the snapshot."""
    return decide(ClusterView(snapshot), queue).plan(with_waits=with_waits)


def decide(view: ClusterView, queue: WaitingQueue | None = None) -> "Decision":
    """Plan once. `queue`, of possible workloads, is taken in place of the view's: a caller that
    plans often keeps it from one cycle to the next."""
    # 1. Impossible: what the empty cluster could not run waits, and counts for nothing below.
    possible, never = sift(view) if queue is None else ([], [])
    # 2. Gates: a cluster that is paused or draining starts nothing; quotas, and limits of sweeps,
    # count at each turn.
    is_open = view.snapshot.state == ACTIVE
    # 3. Order: priority, then the policy's key, then submit time.
    queue = WaitingQueue(view.snapshot, possible) if queue is None else queue
    # 4. Place without harm, else 5. preempt where that makes it start; 6. what may not preempt
    # fills the rest. Then look at the victims of each class together.
    state = admit_in_turn(view, queue) if is_open else None
    # 7. Waits: the decision gives the reasons, in the numbers of the end of the cycle. Of equal
    # nodes it takes those that have the images.
    return Decision(view, queue, never, state)


def sift(view: ClusterView) -> tuple[list[Workload], Waiting]:
    """The workloads that the empty cluster could run, of those that take whole nodes their variants
    (whole_nodes/variants.py); and the others with the reason."""
    reason_of: dict[str, Reason | None] = {}  # by scheduling key
    possible, waiting = [], []
    any_whole = False
    for workload in view.snapshot.queued:
        key = workload.scheduling_key
        if key not in reason_of:
            reason_of[key] = impossible(view.cluster.capacity, workload)
        if (reason := reason_of[key]) is None:
            possible.append(workload)
            any_whole |= workload.whole != ""
        else:
            waiting.append((workload, reason))
    if any_whole:
        possible = list(expand(view.cluster.capacity, possible))
    if view.snapshot.windows and coming(view.snapshot):
        possible, closed = outside(view, possible)
        waiting += closed
    return possible, waiting


def outside(view: ClusterView, workloads: Iterable[Workload]) -> tuple[list[Workload], Waiting]:
    """The workloads as they ask for nodes outside the windows that they reach into, and those for
    which no such nodes would be enough, if all of these were empty: a window keeps them back."""
    found, closed = list[Workload](), dict[str, Workload]()
    is_possible: dict[str, bool] = {}  # by scheduling key
    for workload in outside_windows(workloads, view.snapshot):
        key = workload.scheduling_key
        if key not in is_possible:
            is_possible[key] = not closed_to(view.cluster.capacity, workload)
        if is_possible[key]:
            found.append(workload)
        else:
            closed[workload.origin.id] = workload
    for workload in found:
        closed.pop(workload.origin.id, None)  # another of its variants
    reason_of: dict[str, Reason] = {}  # by scheduling key
    for workload in closed.values():
        key = workload.origin.scheduling_key
        if key not in reason_of:
            reason_of[key] = in_windows(view.snapshot, view.cluster.capacity, workload)
    return found, [(w.origin, reason_of[w.origin.scheduling_key]) for w in closed.values()]


def admit_in_turn(
    view: ClusterView, queue: WaitingQueue, state: CycleState | None = None
) -> CycleState:
    """Each workload at its turn starts, or is refused and waits; then the victims of each class are
    looked at together. `state`: one that has its advice (preemption/joint.py) already."""
    snapshot, is_advised = view.snapshot, state is not None
    state = CycleState(view, queue) if state is None else state
    reservations, delays = state.reservations, state.delays
    iterator = queue.iterate(state.usage)
    strict, budget = snapshot.policy.queueing == STRICT, state.budget
    for workload in iterator:
        if len(state.starts) >= snapshot.max_starts or (strict and reservations.head is not None):
            break
        if state.starts and budget.spent > budget.most:
            break
        budget.spent += WORKLOAD_STEPS
        if workload.id in state.started:
            continue
        before = (reservations.backfill, reservations.starvations, delays and delays.promises)
        if not state.admit(workload):
            if delays is not None and delays.has(workload):
                iterator.set_aside(workload)
            else:
                iterator.refuse(workload)
        elif state.starts[-1].victims or before != (
            reservations.backfill,
            reservations.starvations,
            delays and delays.promises,
        ):  # more is free, or less is reserved
            budget.spent += 2 * iterator.retry(state.worth_another_look)
        if reservations.starvations:  # an equal may have been refused because of them
            iterator.revisit([each.reserved_for for each in reservations.starvations])
    policy = snapshot.policy
    if is_advised or state.preemptors < 2 or policy.class_cost_ratio or policy.low_share_percent:
        return state

    def plan_again(advice: Mapping[str, Advice], spent: int) -> CycleState:
        again = CycleState(view, queue, advice)
        again.budget.spent, again.budget.most = spent, again.budget.exact
        return admit_in_turn(view, queue, again)

    return look_again(state, plan_again)


class Decision:
    """One snapshot, and the state at the end of its cycle: None where the cluster is not open.

    `never` are the impossible workloads, with their reasons.
    """

    def __init__(
        self,
        view: ClusterView,
        queue: WaitingQueue,
        never: Waiting,
        state: CycleState | None,
    ) -> None:
        self.view, self.snapshot = view, view.snapshot
        self._queue, self._never, self.state = queue, never, state
        self.starts: tuple[Start, ...] = ()
        self.started: set[str] = set()  # the ids of the workloads that start
        self.head: Workload | None = None  # the first workload that was refused, and waits on
        self.is_spent = False  # it has ended early: it starts some, and its steps are spent
        self.is_full = False  # it starts as many as one cycle may
        self.is_unfinished = False  # another cycle is to follow at once (Plan.unfinished)
        self._left_to: Mapping[str | None, frozenset[int]] = {}
        self._reserved_for: tuple[str, ...] = ()
        if state is None:
            leaving = view.running.leaving
            self.evictions = tuple(drain(self.snapshot, running) for running in leaving)
            return
        self.starts, self.evictions = tuple(state.starts), tuple(state.evictions)
        head = state.reservations.head
        self.started = {each.workload_id for each in state.starts}
        self.head = head and (head.variant_of or head)
        self.is_spent = bool(self.starts) and state.budget.spent > state.budget.most
        self.is_full = self.is_spent or len(self.starts) >= self.snapshot.max_starts
        self.is_unfinished = self.is_full and any(each.id not in state.started for each in queue)
        self._left_to = state.reservations.left_to
        starvations = state.reservations.starvations
        self._reserved_for = tuple(each.reserved_for.origin.id for each in starvations)
        if self._reserved_for:
            self.is_unfinished |= state.started_long_running
        if self.snapshot.local_images:
            self.starts = prefer_local_images(view, state)

    def with_local_images(self, images: tuple[LocalImage, ...]) -> "Decision":
        """The same decision, for the snapshot with these images: what starts there starts on the
        nodes that have its image, of nodes that are equal."""
        view = self.view.with_local_images(images)
        return Decision(view, self._queue, self._never, self.state)

    @property
    def preempted(self) -> frozenset[str]:
        """The ids of the workloads that make way for others, or did so in a plan that the cycle
        has weighed and not kept: what these free may have decided which one it keeps."""
        made_way = (each.workload_id for each in self.evictions if each.by is not None)
        reconsidered = frozenset[str]() if self.state is None else self.state.reconsidered
        return reconsidered.union(made_way)

    def unclaimed_by(self, ids: Collection[str]) -> frozenset[int]:
        """The bins that some starved workload could have reserved, were there another one: at its
        turn, no reservation of these workloads had claimed them."""
        bins = (left for id_, left in self._left_to.items() if id_ not in ids)
        return frozenset[int]().union(*bins)

    def plan(self, *, with_waits: bool = True) -> Plan:
        """The waits, which change nothing else, are found once, when they are first asked for."""
        waits = self._waits if with_waits else ()
        delays = None if self.state is None else self.state.delays
        due_ms = None if delays is None else delays.due_ms
        return Plan(
            self.starts, self.evictions, waits, self.is_unfinished, self._reserved_for, due_ms
        )

    def waiting(self) -> list[Workload]:
        """The workloads that wait for capacity, in the order of the queue; of one that takes whole
        nodes its first variant (whole_nodes/variants.py)."""
        started = () if self.state is None else self.state.started
        left = [each for each in self._queue if each.id not in started]
        if not self._queue.variants:
            return left
        return list({each.origin.id: each for each in reversed(left)}.values())[::-1]

    @property
    def delayed(self) -> frozenset[str]:
        """The ids of the workloads that wait for time limits instead of preempting."""
        if self.state is None or self.state.delays is None:
            return frozenset()
        return frozenset(each.reserved_for.origin.id for each in self.state.delays.promises)

    # --- Why the others wait ---------------------------------------------------------------------

    @cached_property
    def _waits(self) -> tuple[Wait, ...]:
        if self.state is None:
            paused = reasons.paused(self.snapshot.state)
            return _grouped([*self._never, *((each.origin, paused) for each in self._queue)])
        left = [each for each in self._queue if each.id not in self.state.started]
        if self._queue.variants:
            left = _origins(left)
        if not left and not self._never:
            return ()
        wait_reasons = WaitReasons(self.view, self.state)
        promises = () if self.state.delays is None else self.state.delays.promises
        alone = {each.reserved_for.origin.id for each in promises}
        waiting = [
            *self._never,
            *((each, wait_reasons.why(each)) for each in left if each.id not in alone),
            *((each.reserved_for.origin, wait_reasons.why_delayed(each)) for each in promises),
        ]
        head = self.state.reservations.head
        if head is not None and self.snapshot.policy.queueing == STRICT:
            alone.add(head.origin.id)
        return _grouped(waiting, alone)


def _origins(workloads: Iterable[Workload]) -> list[Workload]:
    """The workloads, with one for all variants of one (whole_nodes/variants.py)."""
    return list({each.origin.id: each.origin for each in workloads}.values())


def _grouped(waiting: Waiting, alone: Collection[str] = ()) -> tuple[Wait, ...]:
    """One wait per scheduling key, that of its last workload; one by id for each that differs, and
    for those `alone`, whose reasons are theirs alone."""
    common = {
        workload.scheduling_key: reason for workload, reason in waiting if workload.id not in alone
    }
    own = [
        Wait(workload.scheduling_key, reason, workload.id)
        for workload, reason in waiting
        if reason != common.get(workload.scheduling_key)
    ]
    return (*(Wait(key, reason) for key, reason in sorted(common.items())), *own)
