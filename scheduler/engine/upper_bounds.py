"""Upper bounds of the capacity that could come free. They let a snapshot leave workloads out.

A workload whose request exceeds every bound can neither start nor change a decision about another
workload. Two are exceptions, and store/queue/relevant.py reads both: the blocked head of a strict
queue, and a starved workload, for which capacity is reserved.
"""

from collections.abc import Collection, Iterable

from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.plan import Start
from scheduler.engine.preemption.exemption import could_be_evicted
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Running

MOST_BOUNDS = 6


def free_by_bin(
    view: ClusterView, gone: Collection[str] = (), starts: Iterable[Start] = ()
) -> list[Resources]:
    """The free amount of each open bin after the drained workloads and those of the ids `gone` have
    left, and after `starts` have taken their placements.

    Starts of workloads that are missing from the view's queue are ignored.
    """
    capacity, leaving = view.cluster.capacity, _leaving(view, gone)
    moved: dict[int, Resources] = {}
    for running in view.snapshot.running:
        if running.id in leaving:
            for at, count in capacity.bins_of(running.placement):
                moved[at] = moved.get(at, ZERO).plus(running.request.times(count))
    queued = {workload.id: workload for workload in view.snapshot.queued}
    for start in starts:
        if (workload := queued.get(start.workload_id)) is not None:
            for at, count in capacity.bins_of(start.placement):
                amount = (start.given or workload.request).times(count)
                moved[at] = moved.get(at, ZERO).minus(amount)
    return [capacity.free[at].plus(moved.get(at, ZERO)) for at in capacity.eligible(())]


def usage_once_gone(view: ClusterView, gone: Collection[str] = ()) -> OwnerUsage:
    """The owners' usage after the drained workloads and those of the ids `gone` have left."""
    usage, leaving = view.cluster.usage.copy(), _leaving(view, gone)
    for running in view.snapshot.running:
        if running.id in leaving:
            usage.shrink(running)
    return usage


def _leaving(view: ClusterView, gone: Collection[str]) -> set[str]:
    return {running.id for running in view.running.leaving}.union(gone)


def evictable_below(view: ClusterView, below: int) -> list[Running]:
    """The running workloads of a priority value under `below` that may be evicted, be it only by
    one that has waited for their exempt time."""
    snapshot, classes = view.snapshot, view.cluster.classes
    return [
        running
        for running in snapshot.running
        if classes[running.priority].value < below
        and could_be_evicted(running, classes[running.priority], snapshot.policy)
    ]


def bounds_of(amounts: Iterable[Resources]) -> list[Resources]:
    """At most MOST_BOUNDS amounts, so that each of `amounts` fits in one of them."""
    largest: list[Resources] = []
    for amount in sorted(set(amounts), reverse=True):
        if not any(amount.fits_in(other) for other in largest):
            largest.append(amount)
    if len(largest) <= MOST_BOUNDS:
        return largest
    rest = largest[MOST_BOUNDS - 1 :]
    around = Resources(*(max(each[dim] for each in rest) for dim in range(3)))
    return [*largest[: MOST_BOUNDS - 1], around]
