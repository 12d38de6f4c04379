"""The workloads that have waited so long that capacity may be reserved for one of them."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from scheduler.engine import Decision
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import EASY_BACKFILL, NEVER, STRICT, Snapshot, Workload
from scheduler.engine.wait_reasons import impossible
from scheduler.store.queue.bounds import Bounds
from scheduler.store.queue.reader import QueueReader

MOST_STARVED = 1000  # of each class: capacity is reserved for none beyond


@dataclass(frozen=True, slots=True)
class StarvedPart:
    """How far they are read: the `first` of each class, without the `hopeless` scheduling keys,
    for which nothing is reserved whatever else comes free; and the `further` ones, which were read
    for the bins that no reservation claims."""

    first: int
    hopeless: frozenset[str] = frozenset()
    further: tuple[Workload, ...] = ()


def read_starved(
    snapshot: Snapshot, queue: QueueReader, bounds: Bounds, part: StarvedPart
) -> list[Workload]:
    """Of the starved workloads for which services and quotas would leave enough."""
    if snapshot.policy.queueing == STRICT:
        return []
    found, since_ms = bounds.beside_long_running, starved_since_ms(snapshot)
    first = queue.starved(found, since_ms, part.first, bounds.quotas, part.hopeless)
    return [*first, *part.further]


def read_further(
    decision: Decision, queue: QueueReader, bounds: Bounds, part: StarvedPart, read: list[Workload]
) -> list[Workload]:
    """More starved workloads than those `read`, for which bins might be reserved that none of these
    claims: none where all were read, or no bins are left.

    Of a scheduling key of which one that waits on has been read no more are: what is reserved for
    that one, or not, is not reserved for those behind it.
    """
    if max(Counter(each.priority for each in read).values(), default=0) < part.first:
        return []
    ids = {each.id for each in read}
    values = {name: each.value for name, each in decision.view.cluster.classes.items()}
    bins = {}  # by class: those that remain at the turn of one more of the class
    for name, value in values.items():
        ahead = {each.id for each in read if values[each.priority] >= value}
        bins[name] = decision.unclaimed_by(ahead)
    sizes = bounds.beside_long_running_in(bins)
    if not sizes or len(part.further) >= MOST_STARVED:
        return []
    waiting = {each.scheduling_key for each in read if each.id not in decision.started}
    never, since_ms = part.hopeless | waiting, starved_since_ms(decision.snapshot)
    found = queue.starved(sizes, since_ms, part.first, bounds.quotas, never)
    return [each for each in found if each.id not in ids]


def starved_since_ms(snapshot: Snapshot) -> int:
    """A workload is starved if it has waited since then."""
    return snapshot.now_ms - snapshot.policy.reserve_after_s * 1000


def hopeless_keys(snapshot: Snapshot, bounds: Bounds) -> frozenset[str]:
    """The scheduling keys in the queue that could not start whatever else came free."""
    return frozenset(
        workload.scheduling_key
        for workload in snapshot.queued
        if not bounds.could_ever_start(workload)
    )


def enough_are_read(
    view: ClusterView, started: Collection[str], bounds: Bounds, part: StarvedPart
) -> bool:
    """Whether of each class one that waits on is among the starved that were read as such, or all
    of them were: those beyond, which fit and were read for that, are not the next in turn.

    A workload that may be over a quota, or in a full sweep, at any time of the cycle does not count
    as one that waits on: with all starts, and without victims; nor does one for which services
    or windows leave too little. Capacity is reserved for none beyond the first MOST_STARVED.
    """
    if view.snapshot.policy.queueing == STRICT or part.first >= MOST_STARVED:
        return True
    most_usage = view.cluster.usage.copy()
    for workload in view.snapshot.queued:
        if workload.id in started:
            most_usage.grow(workload, _most_of(view, workload))

    def waits_on(workload: Workload) -> bool:
        return (
            workload.id not in started
            and impossible(view.cluster.capacity, workload) is None
            and not most_usage.over(workload)
            and any(
                map(view.running.long_running.leave_enough_for, bounds.outside_windows(workload))
            )
        )

    return all(
        len(starved) < part.first or any(map(waits_on, starved[: part.first]))
        for starved in _by_class(view.snapshot, bounds).values()
    )


def _most_of(view: ClusterView, workload: Workload) -> Resources:
    """The most that the start of a workload may allocate."""
    if not workload.whole:
        return workload.total
    totals = view.cluster.capacity.totals
    return Resources(*map(max, zip(*totals, strict=True))).times(workload.replicas)


def _by_class(snapshot: Snapshot, bounds: Bounds) -> dict[str, list[Workload]]:
    """The starved workloads of the queue that quotas allow, the longest wait first."""
    since_ms, found = starved_since_ms(snapshot), dict[str, list[Workload]]()
    for workload in sorted(snapshot.queued, key=lambda each: (each.queued_ms, each.id)):
        if workload.queued_ms <= since_ms and not bounds.usage.over_quota(workload):
            found.setdefault(workload.priority, []).append(workload)
    return found


def starved_gangs(snapshot: Snapshot) -> frozenset[str]:
    """The classes of starved gangs in the queue: the nodes reserved for one, also if it starts, may
    depend on what runs there."""
    if len(snapshot.nodes) < 2 or snapshot.policy.queueing == STRICT:
        return frozenset()
    since_ms = starved_since_ms(snapshot)
    return frozenset(
        workload.priority
        for workload in snapshot.queued
        if workload.replicas > 1 and workload.queued_ms <= since_ms
    )


def ends_matter(snapshot: Snapshot) -> bool:
    """Whether a reservation may depend on the ends of running workloads."""
    if snapshot.policy.preemption_delay_s and snapshot.policy.preemption != NEVER:
        return True
    if snapshot.policy.queueing == EASY_BACKFILL:
        return True
    since_ms = starved_since_ms(snapshot)
    starved = any(workload.queued_ms <= since_ms for workload in snapshot.queued)
    return starved and snapshot.policy.queueing != STRICT
