"""Upper bounds of the capacity that could come free. They let a snapshot leave workloads out.

A workload whose request exceeds every bound can neither start nor change a decision about another
workload. Two are exceptions, and store/relevant.py reads both: the blocked head of a strict queue,
and a starved workload, for which capacity is reserved.
"""

from collections.abc import Collection, Iterable

from scheduler.engine.capacity import Capacity
from scheduler.engine.drain import drained
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.order import by_name
from scheduler.engine.plan import Plan
from scheduler.engine.preemption.costs import may_be_evicted
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Running, Snapshot

MOST_BOUNDS = 6


def free_by_bin(
    snapshot: Snapshot, gone: Collection[str] = (), plan: Plan | None = None
) -> list[Resources]:
    """The free amount of each open bin after the drained workloads and those of the ids `gone` have
    left and, with a plan, after its starts have taken their placements.

    Starts of workloads that are missing from `snapshot.queued` are ignored.
    """
    capacity = Capacity(snapshot)
    moved: dict[int, Resources] = {}
    leaving = {running.id for running in drained(snapshot)}.union(gone)
    for running in snapshot.running:
        if running.id in leaving:
            for at, count in capacity.bins_of(running.placement):
                moved[at] = moved.get(at, ZERO).plus(running.request.times(count))
    queued = {workload.id: workload for workload in snapshot.queued}
    for start in plan.starts if plan else ():
        if (workload := queued.get(start.workload_id)) is not None:
            for at, count in capacity.bins_of(start.placement):
                moved[at] = moved.get(at, ZERO).minus(workload.request.times(count))
    return [capacity.free[at].plus(moved.get(at, ZERO)) for at in capacity.eligible(())]


def usage_once_gone(snapshot: Snapshot, gone: Collection[str] = ()) -> OwnerUsage:
    """The owners' usage after the drained workloads and those of the ids `gone` have left."""
    usage = OwnerUsage(snapshot)
    leaving = {running.id for running in drained(snapshot)}.union(gone)
    for running in snapshot.running:
        if running.id in leaving:
            usage.shrink(running)
    return usage


def evictable_below(snapshot: Snapshot, below: int) -> list[Running]:
    """The running workloads of a priority value under `below` that may be evicted now."""
    classes = by_name(snapshot.classes)
    return [
        running
        for running in snapshot.running
        if classes[running.priority].value < below
        and may_be_evicted(running, classes[running.priority], snapshot.policy, snapshot.now_ms)
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
