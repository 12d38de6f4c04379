"""What would let a workload start: the planner itself, asked about a changed snapshot.

Every answer here is `make_plan` of the snapshot with the workload in it, changed in one thing. The
changed one has a scheduling key of its own, so that no equal of the unchanged one speaks for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from scheduler.engine.capacity import Capacity
from scheduler.engine.decision import make_plan, sift
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.plan import Eviction, Plan, Start
from scheduler.engine.reservations.starvation import FOREVER_MS
from scheduler.engine.resources import NAMES, Resources
from scheduler.engine.snapshot import Node, PriorityClass, Running, Snapshot, Workload
from scheduler.engine.wait_reasons import impossible
from scheduler.engine.waiting_queue import WaitingQueue

EVERY_START = 2**31
MOST_TRIED = 64


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """What the planner decides about one workload: a start with its evictions, or none."""

    plan: Plan
    start: Start | None
    evictions: tuple[Eviction, ...]


def plan_with(snapshot: Snapshot, workload: Workload) -> WorkloadPlan:
    """Plan the snapshot with the workload in its queue, in the place of one with its id."""
    others = tuple(each for each in snapshot.queued if each.id != workload.id)
    asked = replace(snapshot, queued=(*others, workload), max_starts=EVERY_START)
    return _outcome(make_plan(asked), workload)


def _outcome(plan: Plan, workload: Workload) -> WorkloadPlan:
    start = next((each for each in plan.starts if each.workload_id == workload.id), None)
    evictions = tuple(each for each in plan.evictions if each.by == workload.id)
    return WorkloadPlan(plan, start, evictions)


@dataclass(frozen=True, slots=True)
class After:
    """It would start once these have ended; `at_ms` is when, where time limits tell."""

    ids: tuple[str, ...]
    at_ms: int | None


class WhatIf:
    """Questions about one workload, in whose queue it may be already. The line of all others is
    made once, so that an answer costs what could start, not how many wait."""

    def __init__(self, snapshot: Snapshot, workload: Workload) -> None:
        self._snapshot, self._workload = replace(snapshot, max_starts=EVERY_START), workload
        others = tuple(each for each in snapshot.queued if each.id != workload.id)
        possible, _ = sift(replace(snapshot, queued=others))
        self._others, self._capacity = WaitingQueue(snapshot, possible), Capacity(snapshot)

    def starts(self) -> bool:
        """Whether it would, with nothing changed."""
        return self._ask(self._workload) is not None

    def largest_amounts(self) -> dict[str, int]:
        """For each resource, the most of it with which it would start now, all else the same.

        Only resources where less than it asks for would do; 0 counts for GPUs alone.
        """
        found = {}
        for dim, name in enumerate(NAMES):
            amount = self._largest(dim)
            if amount is not None:
                found[name] = amount
        return found

    def _largest(self, dim: int) -> int | None:
        """GPUs are tried one by one. Of CPU and RAM there are too many, so they are found by
        bisection, which may miss an answer: a smaller request fits more easily, but may stand
        further back."""
        least = 0 if NAMES[dim] == "gpu" else 1
        low, high = least, self._workload.request[dim] - 1
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
        return self._ask(_other(self._workload, request=Resources(*amounts))) is not None

    def priority_that_starts(self) -> tuple[PriorityClass, WorkloadPlan] | None:
        """The lowest class above its own with which it would start now, and what that would do."""
        classes = sorted(self._snapshot.classes, key=lambda each: each.value)
        own = next(each.value for each in classes if each.name == self._workload.priority)
        for priority in classes:
            if priority.value > own:
                outcome = self._ask(_other(self._workload, priority=priority.name))
                if outcome is not None:
                    return priority, outcome
        return None

    def after_limits(self) -> After | None:
        """The first end, of those that time limits promise, after which it would start.

        Bisection over the ends in their order; whoever has ended stays ended.
        """
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

    def after_any_of(self, candidates: Iterable[Running]) -> Iterator[After]:
        """Those of the candidates whose end alone, if it came now, would let it start."""
        for running in candidates:
            ended = without(self._snapshot, [running])
            ended_now = replace(ended, now_ms=self._snapshot.now_ms)
            if self._ask(self._workload, ended_now) is not None:
                yield After((running.id,), running.ends_ms)

    def _starts_without(self, ended: list[Running]) -> bool:
        return self._ask(self._workload, without(self._snapshot, ended)) is not None

    def _ask(self, workload: Workload, snapshot: Snapshot | None = None) -> WorkloadPlan | None:
        """None where it would not start."""
        if impossible(self._capacity, workload) is not None:
            return None
        queue = self._others.with_one(workload)
        outcome = _outcome(make_plan(snapshot or self._snapshot, queue, tell=False), workload)
        return outcome if outcome.start is not None else None


def without(snapshot: Snapshot, ended: list[Running]) -> Snapshot:
    """The snapshot once these have ended, at the end of the last of them."""
    gone = {running.id for running in ended}
    freed: dict[str | None, Resources] = {}
    for running in ended:
        for place in running.placement:
            amount = running.request.times(place.replicas)
            freed[place.node_id] = freed.get(place.node_id, Resources()).plus(amount)
    allocated = snapshot.allocated
    for amount in freed.values():
        allocated = allocated.minus(amount)
    return replace(
        snapshot,
        allocated=allocated,
        allocated_by_owner=_still_allocated(snapshot, ended),
        nodes=tuple(_emptied(node, freed.get(node.id)) for node in snapshot.nodes),
        running=tuple(each for each in snapshot.running if each.id not in gone),
        now_ms=max([snapshot.now_ms, *(each.ends_ms or 0 for each in ended)]),
    )


def _still_allocated(snapshot: Snapshot, ended: list[Running]) -> tuple[tuple[str, Resources], ...]:
    """By owner, where that matters."""
    held = dict(snapshot.allocated_by_owner)
    for running in ended:
        if running.owner in held:
            held[running.owner] = held[running.owner].minus(running.total)
    return tuple(held.items())


def _emptied(node: Node, freed: Resources | None) -> Node:
    return node if freed is None else replace(node, allocated=node.allocated.minus(freed))


def occupants(snapshot: Snapshot, workload: Workload) -> list[Running]:
    """Who holds what it is short of, the most first: by share of the cluster, then id.

    Of its owner's quota, its owner's others; else of what is short in all, or, where nothing is, of
    what it asks for: then it is fragmented.
    """
    among, usage = snapshot.running, OwnerUsage(snapshot)
    room = snapshot.total.minus(snapshot.allocated)
    if usage.over(workload):
        among = tuple(each for each in among if each.owner == workload.owner)
        room = usage.unused_quota(workload.owner)
    short = workload.total.minus(room).positive() or workload.request.positive()
    dims = [NAMES.index(name) for name in short]

    def share(running: Running) -> int:
        held, total = running.total, snapshot.total
        return sum(1_000_000 * held[d] // total[d] for d in dims if total[d])

    found = [running for running in among if share(running) > 0]
    return sorted(found, key=lambda running: (-share(running), running.id))


def _other(workload: Workload, **changes: object) -> Workload:
    """A key stands for one request: no two changed ones share theirs, nor one with an unchanged."""
    told = "/".join(f"{name}={value}" for name, value in changes.items())
    key = f"{workload.scheduling_key}/what-if/{told}"
    return replace(workload, scheduling_key=key, **changes)  # type: ignore[arg-type]  # its fields
