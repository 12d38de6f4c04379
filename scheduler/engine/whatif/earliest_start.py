"""The earliest moment at which a waiting workload would start if nothing but the time changed.

By a time limit a running workload ends, and after its exempt time it may be evicted. So the search
plans the snapshot as it will be at some of these moments. It begins at the first one at which the
capacity that may have come free by then is large enough: before, no plan could start the workload.
Most often that is the answer, after one plan; where there is no such moment, there is none. Next
comes the first moment at which the workload itself could evict enough.

Later moments are tried at growing steps, and then by bisection. A start at a moment does not imply
one at each later moment (another workload may be starved by then), so the answer is a moment at
which the workload starts and one millisecond before which it does not; an even earlier one may
exist that no step has met.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.plan import Eviction
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.snapshot import (
    LOWER_PRIORITY,
    STRICT,
    Running,
    Workload,
)

GROWTH = 4  # of the steps between the moments that are tried
PlanAt = Callable[[int], tuple[Eviction, ...] | None]
"""The evictions with which the workload would start at a moment; None if it would not start."""


@dataclass(frozen=True, slots=True)
class EarliestStart:
    """The workload would start at `at_ms`, with these evictions: none where what has ended by then
    frees enough."""

    at_ms: int
    evictions: tuple[Eviction, ...]


def earliest_start(view: ClusterView, workload: Workload, plan_at: PlanAt) -> EarliestStart | None:
    """None if the workload would not start at any moment, as far as the search can tell.

    `view` is the cluster now, and `plan_at` plans it later, with the workload in its queue.
    """
    if view.snapshot.windows:  # nodes come back
        return _after(view.snapshot.now_ms - 1, _moments(view, workload), plan_at)
    before_ms = first_with_enough(view, workload)
    if before_ms is None:
        return None
    if (found := plan_at(before_ms)) is not None:
        return EarliestStart(before_ms, found)
    moments = _moments(view, workload)
    own_ms = first_with_enough(view, workload, alone=True)
    if own_ms is not None and own_ms > before_ms:  # what others evict has left it too little
        if (found := plan_at(own_ms)) is not None:
            return _between(before_ms, own_ms, found, plan_at)
        before_ms = own_ms
    return _after(before_ms, moments, plan_at)


def _after(before_ms: int, moments: list[int], plan_at: PlanAt) -> EarliestStart | None:
    """The start at one of the moments after `before_ms`, at which the workload would not start."""
    later = moments[bisect_right(moments, before_ms) :]
    low, high, step, found = -1, 0, 1, None  # the workload does not start at the moment `low`
    while high < len(later) and (found := plan_at(later[high])) is None:
        if high == len(later) - 1:
            return None
        low, high, step = high, min(high + step, len(later) - 1), step * GROWTH
    if found is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if (sooner := plan_at(later[middle])) is None:
            low = middle
        else:
            high, found = middle, sooner
    return _between(before_ms if low < 0 else later[low], later[high], found, plan_at)


def _between(
    before_ms: int, at_ms: int, evictions: tuple[Eviction, ...], plan_at: PlanAt
) -> EarliestStart:
    """The start at the second of two moments or before, at the first of which the workload would
    not start: nearly always at the second one."""
    if at_ms - before_ms == 1 or (found := plan_at(at_ms - 1)) is None:
        return EarliestStart(at_ms, evictions)
    low_ms, high_ms, evictions = before_ms, at_ms - 1, found
    while high_ms - low_ms > 1:
        middle_ms = (low_ms + high_ms) // 2
        if (found := plan_at(middle_ms)) is None:
            low_ms = middle_ms
        else:
            high_ms, evictions = middle_ms, found
    return EarliestStart(high_ms, evictions)


def _moments(view: ClusterView, workload: Workload) -> list[int]:
    """The moments from now on at which the plan may change, in their order: ends, ends of exempt
    times, begins and ends of windows, and when the workload has waited so long that capacity is
    reserved for it, or that no exempt time counts against one that waits; and the deadlines of the
    policy's preemption delay, which counts from then."""
    snapshot, policy = view.snapshot, view.snapshot.policy
    moments = {snapshot.now_ms}
    for running in snapshot.running:
        from_ms = evictable_from(running, view.cluster.classes[running.priority], policy)
        moments |= {at_ms for at_ms in (running.ends_ms, from_ms) if at_ms is not None}
    moments |= {at_ms for each in snapshot.windows for at_ms in (each.begins_ms, each.ends_ms)}
    for preemptor in _preemptors(view, workload):
        moments.add(preemptor.queued_ms + policy.preempt_exempt_s * 1000)
    if policy.preemption_delay_s:
        moments |= {at_ms + policy.preemption_delay_s * 1000 for at_ms in moments}
        moments |= {
            each.queued_ms + policy.preemption_delay_s * 1000
            for each in _preemptors(view, workload)
        }
    if policy.queueing != STRICT:
        moments.add(workload.queued_ms + policy.reserve_after_s * 1000)
    return sorted(at_ms for at_ms in moments if at_ms >= snapshot.now_ms)


def first_with_enough(view: ClusterView, workload: Workload, *, alone: bool = False) -> int | None:
    """The first moment from now on at which enough could be free for the workload; None if there is
    none. What it may evict then counts as free, and unless it is `alone`, what any waiting workload
    may evict."""
    snapshot, capacity = view.snapshot, view.cluster.capacity
    bins = set(capacity.eligible(workload.selector))
    free = {at: capacity.free[at] for at in bins}
    request = workload.request
    fitting = sum(request.count_in(each) for each in free.values())
    if fitting >= workload.replicas:
        return snapshot.now_ms
    preemptors = _preemptors(view, workload)
    if alone:
        preemptors = [each for each in preemptors if each is workload]
    for at_ms, running in _leaving(view, preemptors):
        for at, count in capacity.bins_of(running.placement):
            if at in bins:
                more = free[at].plus(running.request.times(count))
                fitting += request.count_in(more) - request.count_in(free[at])
                free[at] = more
        if fitting >= workload.replicas:
            return max(at_ms, snapshot.now_ms)
    return None


def _leaving(view: ClusterView, preemptors: list[Workload]) -> Iterable[tuple[int, Running]]:
    """The running workloads that end, leave with their node or may be evicted by one of these, in
    the order of the first moments at which one of these is so."""
    snapshot, classes = view.snapshot, view.cluster.classes
    below = max((classes[each.priority].value for each in preemptors), default=None)
    since_ms = min((each.queued_ms for each in preemptors), default=None)
    drained = {each.id for each in view.running.leaving}
    found = []
    for running in snapshot.running:
        priority, at_ms = classes[running.priority], running.ends_ms
        if running.id in drained:
            at_ms = snapshot.now_ms
        elif below is not None and priority.value < below:
            from_ms = evictable_from(running, priority, snapshot.policy, since_ms)
            at_ms = min((each for each in (at_ms, from_ms) if each is not None), default=None)
        if at_ms is not None:
            found.append((at_ms, running))
    return sorted(found, key=lambda each: (each[0], each[1].id))


def _preemptors(view: ClusterView, workload: Workload) -> list[Workload]:
    """The waiting workloads that may preempt."""
    if view.snapshot.policy.preemption != LOWER_PRIORITY:
        return []
    others = (each for each in view.snapshot.queued if each.id != workload.id)
    return [each for each in (workload, *others) if view.cluster.classes[each.priority].may_preempt]
