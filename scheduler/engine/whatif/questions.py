"""What would let a workload start: the planner's decision on a changed snapshot.

Every answer is the plan of the snapshot with the workload in its queue and one thing changed. A
changed workload gets a scheduling key of its own, so that it never shares the answer of workloads
that equal the unchanged one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.decision import Decision, admit_in_turn, decide, outside, sift
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.placement.nearest_labels import labels_in
from scheduler.engine.placement.windows import outside_windows, reached
from scheduler.engine.plan import Eviction, Plan, Start
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.waiting_queue import QueueIterator, WaitingQueue
from scheduler.engine.reasons import volumes_in
from scheduler.engine.reservations.starvation import FOREVER_MS
from scheduler.engine.resources import NAMES, Resources
from scheduler.engine.snapshot import (
    ACTIVE,
    GPUS,
    NODE,
    VOLUME,
    Labels,
    PriorityClass,
    Running,
    Snapshot,
    Workload,
)
from scheduler.engine.wait_reasons import impossible
from scheduler.engine.whatif.earliest_start import EarliestStart, earliest_start
from scheduler.engine.whatif.later import at_moment, without
from scheduler.engine.whatif.spared import Spared, spared_by_cause
from scheduler.engine.whole_nodes.variants import expand

EVERY_START = 2**31
MOST_TRIED = 64
MOST_LIMITS = 8
NO_LABELS: Labels = ()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """A plan, and its start and evictions for one workload; `start` is None if it waits."""

    plan: Plan
    start: Start | None
    evictions: tuple[Eviction, ...]


class Unanswered(Exception):  # noqa: N818  # the answer is unknown, which is no error
    """The budget is spent, or the snapshot was read too narrowly for the question."""


Check = Callable[[], None]
"""Raises Unanswered once all plans of one answer have cost too much."""


def no_limit() -> None:
    """The Check of a caller that has the time."""


def plan_with(
    snapshot: Snapshot, workload: Workload, check: Check = no_limit, *, with_waits: bool = True
) -> WorkloadPlan:
    """Plan the snapshot with the workload in its queue. It replaces a queued one of the same id.

    Raises what `check` does, and Unanswered where the plan's steps were spent before the workload's
    turn.
    """
    others = tuple(each for each in snapshot.queued if each.id != workload.id)
    view = ClusterView(replace(snapshot, queued=(*others, workload), max_starts=EVERY_START))
    possible, never = sift(view)
    queue = MeteredQueue(view.snapshot, possible, check)
    state = admit_in_turn(view, queue) if snapshot.state == ACTIVE else None
    decision = Decision(view, queue, never, state)
    if decision.is_spent and workload.id not in decision.started:
        raise Unanswered
    return _plan_of(decision.plan(with_waits=with_waits), workload)


def _plan_of(plan: Plan, workload: Workload) -> WorkloadPlan:
    start = next((each for each in plan.starts if each.workload_id == workload.id), None)
    evictions = tuple(each for each in plan.evictions if each.by == workload.id)
    return WorkloadPlan(plan, start, evictions)


class MeteredQueue(WaitingQueue):
    """A queue that calls `check` before each turn."""

    def __init__(self, snapshot: Snapshot, workloads: Iterable[Workload], check: Check) -> None:
        super().__init__(snapshot, workloads)
        self._check = check

    def iterate(self, usage: OwnerUsage | None = None) -> QueueIterator:
        iterator = super().iterate(usage)
        iterator.before_turn = self._check
        return iterator


@dataclass(frozen=True, slots=True)
class After:
    """The workload would start after the running workloads of these ids have ended. `at_ms` is the
    moment of the last end; None if no time limit sets one."""

    ids: tuple[str, ...]
    at_ms: int | None


class WhatIf:
    """Questions about one workload, which the snapshot's queue may contain already.

    The queue of all other workloads is made once, so the cost of an answer grows with the number of
    workloads that could start, not with the number that wait. A question that is Unanswered gets
    the answer of one without a finding, and `complete` is False from then on.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        workload: Workload,
        *,
        covers: Callable[[Workload], bool] = lambda _: True,
        check: Check = no_limit,
    ) -> None:
        """`covers` says whether the snapshot has enough of the queue for a workload's answer."""
        self.complete = True
        self._snapshot, self._workload = replace(snapshot, max_starts=EVERY_START), workload
        self._covers, self._check = covers, check
        others = tuple(each for each in snapshot.queued if each.id != workload.id)
        self._view = ClusterView(replace(self._snapshot, queued=others))
        possible, _ = sift(self._view)
        self._others = MeteredQueue(snapshot, possible, check)

    def starts(self) -> bool | None:
        """Whether the workload would start with nothing changed; None if Unanswered."""
        return self._answer(lambda: self._starting_plan(self._workload) is not None, None)

    def largest_amounts(self) -> dict[str, int]:
        """By resource, the largest amount per replica with which the workload would start now, all
        else unchanged.

        A resource is missing if no smaller amount than the requested one would do. An amount of 0
        counts for GPUs alone.
        """
        found = {}
        for dim, name in enumerate(NAMES):
            amount = self._answer(partial(self._largest, dim), None)
            if amount is not None:
                found[name] = amount
        return found

    def _largest(self, dim: int) -> int | None:
        """Ranges of fewer than MOST_TRIED amounts are tried one by one, as GPUs are. Larger ranges,
        of CPU and RAM, are bisected. Bisection may miss an answer: a smaller request fits more
        easily, but its position in the queue may be further back."""
        low, high = 0 if NAMES[dim] == "gpu" else 1, self._workload.request[dim] - 1
        if NAMES[dim] == "gpu" and self._workload.whole == GPUS:
            high = max(each.gpu for each in self._view.cluster.capacity.totals)
        if high - low < MOST_TRIED:
            amounts = (n for n in range(high, low - 1, -1) if self._starts_with(dim, n))
            return next(amounts, None)
        if not self._starts_with(dim, low):
            return None
        while low < high:
            middle = (low + high + 1) // 2
            if self._starts_with(dim, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def _starts_with(self, dim: int, amount: int) -> bool:
        amounts = list(self._workload.request)
        amounts[dim] = amount
        changed = _other(self._workload, request=Resources(*amounts))
        if NAMES[dim] == "gpu" and changed.whole == GPUS:  # a number instead of all
            changed = replace(changed, whole="")
        return self._starting_plan(changed) is not None

    def priority_that_starts(self) -> tuple[PriorityClass, WorkloadPlan] | None:
        """The lowest class above the workload's own with which it would start now, and the plan."""
        return self._answer(self._lowest_priority, None)

    def _lowest_priority(self) -> tuple[PriorityClass, WorkloadPlan] | None:
        classes = sorted(self._snapshot.classes, key=lambda each: each.value)
        own = next(each.value for each in classes if each.name == self._workload.priority)
        for priority in classes:
            if priority.value > own:
                plan = self._starting_plan(_other(self._workload, priority=priority.name))
                if plan is not None:
                    return priority, plan
        return None

    def without_volumes(self) -> list[str]:
        """The volumes without which the workload would start now: one, else all that leave it only
        some nodes; none where that would not be enough."""
        volumes = [each for each in self._workload.selector if each[0].startswith(VOLUME)]
        return volumes_in(self._answer(partial(self._needless, volumes), NO_LABELS))

    def without_labels(self) -> dict[str, str]:
        """The labels of nodes without which the workload would start now: one, else all that it
        asks for; none where that would not be enough."""
        labels = labels_in(self._workload.selector)
        return dict(self._answer(partial(self._needless, labels), NO_LABELS))

    def _needless(self, labels: Sequence[tuple[str, str]]) -> Labels:
        choices = [(each,) for each in labels] + ([(*labels,)] if len(labels) > 1 else [])
        for dropped in choices:
            selector = tuple(each for each in self._workload.selector if each not in dropped)
            if self._starting_plan(_other(self._workload, selector=selector)) is not None:
                return dropped
        return ()

    def largest_limit_s(self) -> int | None:
        """The largest time limit with which the workload would start now, in place of its own or of
        none, as it would end before windows of nodes begin; None if there is none, or no need."""
        return self._answer(self._largest_limit_s, None)

    def _largest_limit_s(self) -> int | None:
        now_ms = self._snapshot.now_ms
        limits = {
            (each.begins_ms - now_ms) // 1000 for each in reached(self._workload, self._snapshot)
        }
        for limit_s in sorted((each for each in limits if each > 0), reverse=True)[:MOST_LIMITS]:
            if self._starting_plan(_other(self._workload, limit_s=limit_s)) is not None:
                return limit_s
        return None

    def without_exclusive(self, whole: str) -> bool:
        """Whether the workload, which takes whole nodes, would start now if it took only what it
        asks for, of `whole` as GPUS all GPUs of nodes."""
        if self._workload.whole != NODE:
            return False
        changed = _other(self._workload, whole=whole)
        return self._answer(lambda: self._starting_plan(changed) is not None, False)

    def after_limits(self) -> After | None:
        """The first end set by a time limit after which the workload would start; None if there is
        no such end."""
        return self._answer(self._first_end, None)

    def _first_end(self) -> After | None:
        """Bisection over the ends in their order, each of which includes all ends before it."""
        ending = sorted(
            (running for running in self._snapshot.running if running.ends_ms is not None),
            key=lambda running: (running.ends_ms, running.id),
        )
        low, high = 1, len(ending)
        if not ending or not self._starts_without(ending):
            return None
        while low < high:
            middle = (low + high) // 2
            if self._starts_without(ending[:middle]):
                high = middle
            else:
                low = middle + 1
        last = ending[low - 1]
        at_ms = max(last.ends_ms or FOREVER_MS, self._snapshot.now_ms)
        return After((last.id,), at_ms)

    def earliest_start(self) -> EarliestStart | None:
        """When the workload would start if nothing but the time changed, by the ends that time
        limits set or by evictions after exempt times; None if it never would."""
        return self._answer(
            lambda: earliest_start(self._view, self._workload, self._evictions_at), None
        )

    def _evictions_at(self, at_ms: int) -> tuple[Eviction, ...] | None:
        plan = self._starting_plan(self._workload, at_moment(self._snapshot, at_ms))
        return None if plan is None else plan.evictions

    def spared(self, among: list[Running]) -> tuple[Spared, ...]:
        """Why none of these running workloads (of `occupants`) is evicted now, by cause; empty if
        the workload would start, or could not even in the empty cluster."""
        return self._answer(partial(self._spared, among), ())

    def _spared(self, among: list[Running]) -> tuple[Spared, ...]:
        if impossible(self._view.cluster.capacity, self._workload) is not None:
            return ()
        decision = self._decide(self._workload)
        if self._workload.id in decision.started:
            return ()
        [workload] = outside_windows([self._workload], self._snapshot)
        return spared_by_cause(decision, workload, among)

    def after_any_of(self, candidates: Iterable[Running]) -> list[After]:
        """The candidates whose end alone, if it came now, would let the workload start."""
        return [
            After((running.id,), running.ends_ms)
            for running in candidates
            if self._answer(partial(self._starts_without_now, running), False)
        ]

    def _starts_without_now(self, running: Running) -> bool:
        ended_now = without(self._snapshot, [running], self._snapshot.now_ms)
        return self._starting_plan(self._workload, ended_now) is not None

    def _starts_without(self, ended: list[Running]) -> bool:
        return self._starting_plan(self._workload, without(self._snapshot, ended)) is not None

    def _starting_plan(
        self, workload: Workload, snapshot: Snapshot | None = None
    ) -> WorkloadPlan | None:
        """The plan with the workload in the queue; None if the workload would not start."""
        if impossible(self._view.cluster.capacity, workload) is not None:
            return None
        if self._snapshot.state != ACTIVE:
            return None
        decision = self._decide(workload, snapshot)
        if workload.id not in decision.started:
            return None
        return _plan_of(decision.plan(with_waits=False), workload)

    def _decide(self, workload: Workload, snapshot: Snapshot | None = None) -> Decision:
        """Raises Unanswered where more of the queue, or more steps, would be needed."""
        if not self._covers(workload):
            raise Unanswered
        self._check()
        view = self._view if snapshot is None else ClusterView(snapshot)
        queue: WaitingQueue = self._others
        own: Iterable[Workload] = expand(view.cluster.capacity, (workload,))
        if view.snapshot.windows:  # which of them count depends on the moment
            own, _ = outside(view, own)
            if snapshot is not None:
                queue = MeteredQueue(snapshot, self._possible_in(view), self._check)
        for each in own:
            queue = queue.with_one(each)
        decision = decide(view, queue)
        if decision.is_spent and workload.id not in decision.started:
            raise Unanswered
        return decision

    def _possible_in(self, view: ClusterView) -> Iterable[Workload]:
        """The other workloads."""
        others = tuple(each for each in view.snapshot.queued if each.id != self._workload.id)
        return sift(view.with_queue(others))[0]

    def _answer(self, question: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return question()
        except Unanswered:
            self.complete = False
            return otherwise


def occupants(snapshot: Snapshot, workload: Workload) -> list[Running]:
    """The running workloads with an allocation of the resources that `workload` lacks, sorted by
    1. the larger share of the cluster, 2. the id.

    Where its sweep is full, these are the sweep's other members; over its owner's quota, the
    owner's other workloads. Else the resources that count are
    those of which too little is free in sum or, if none is (it is fragmented), all it requests.
    None has what a workload lacks that not even the empty cluster could run.
    """
    if impossible(Capacity(snapshot), workload) is not None:
        return []
    among, usage = snapshot.running, OwnerUsage(snapshot)
    free = snapshot.total.minus(snapshot.allocated)
    if usage.sweeps.is_full(workload):
        among = tuple(each for each in among if each.sweep == workload.sweep)
    elif usage.over_quota(workload):
        among = tuple(each for each in among if each.owner == workload.owner)
        free = usage.unused_quota(workload.owner)
    short = workload.total.minus(free).positive() or workload.request.positive()
    dims = [NAMES.index(name) for name in short]

    def share(running: Running) -> int:
        allocated, total = running.total, snapshot.total
        return sum(1_000_000 * allocated[d] // total[d] for d in dims if total[d])

    found = [running for running in among if share(running) > 0]
    return sorted(found, key=lambda running: (-share(running), running.id))


def _other(workload: Workload, **changes: object) -> Workload:
    """The workload with these changes, under a scheduling key that no other request shares."""
    changed = "/".join(f"{name}={value}" for name, value in changes.items())
    key = f"{workload.scheduling_key}/what-if/{changed}"
    return replace(workload, scheduling_key=key, **changes)  # type: ignore[arg-type]  # its fields
