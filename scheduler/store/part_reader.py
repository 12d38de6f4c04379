"""Reads the bounded part of a cluster that an answer about one workload rests on.

A cycle reads on until nothing left out could change its plan (queue/relevant.py). An answer must
not: it is asked for by any member at any time. So it rests on so many rows at most, and knows
whether those left out could change it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from scheduler.engine import Snapshot, decide
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.order import order_key
from scheduler.engine.snapshot import (
    ACTIVE,
    BEST_EFFORT,
    FAIR_SHARE,
    LOWER_PRIORITY,
    Workload,
)
from scheduler.engine.upper_bounds import evictable_below
from scheduler.store.queue.bounds import Bounds, possible, preempting_classes
from scheduler.store.queue.head import HeadReader, with_workloads
from scheduler.store.queue.reader import FIRST_KEY, QueueReader, SizeClass
from scheduler.store.queue.starved import MOST_STARVED, StarvedPart, read_starved
from scheduler.store.running import running_in


@dataclass(frozen=True, slots=True)
class PartLimits:
    """How much one answer rests on."""

    keys: int = 2000  # different requests; where there are more, the first workloads in line
    members: int = 4000  # workloads in all behind the first of each scheduling key
    running: int = 10_000


PART_LIMITS = PartLimits()


@dataclass(frozen=True, slots=True)
class Part:
    """A snapshot with as much of the queue as was read.

    `fitting` are the workloads that were read since they fit, whatever the time. `last` is the last
    workload in line up to which these were read: None where all were. `is_cut` says that workloads
    may be missing anywhere.
    """

    snapshot: Snapshot
    fitting: tuple[Workload, ...] = ()
    last: Workload | None = None
    is_cut: bool = False

    def covers(self, workload: Workload) -> bool:
        """Whether a plan of this part says of the workload what a plan of the cluster would.

        Without quotas the workloads behind it in line do not matter for that, but for the others of
        a class that may preempt: their victims are chosen together.
        """
        if self.is_cut or self.last is None:
            return not self.is_cut
        if self.snapshot.policy.ordering == FAIR_SHARE:  # the line follows the shares
            return False
        # One behind it may evict what takes up its owner's quota, or its sweep.
        if self.snapshot.quotas or (workload.sweep and self.snapshot.sweeps):
            return False
        if self._may_share_victims(workload, self.last):
            return False
        key = order_key(self.snapshot)
        return key(workload) <= key(self.last)

    def _may_share_victims(self, one: Workload, other: Workload) -> bool:
        """Whether the workloads behind `other` may preempt with `one`."""
        classes = {each.name: each for each in self.snapshot.classes}
        if self.snapshot.policy.preemption != LOWER_PRIORITY or not self.snapshot.running:
            return False
        value = classes[one.priority].value
        return value == classes[other.priority].value and any(
            each.may_preempt for each in self.snapshot.classes if each.value == value
        )


class PartReader:
    """Of one cluster, in the caller's transaction: all that runs, read once, and of the queue what
    is asked for."""

    def __init__(
        self, snapshot: Snapshot, queue: QueueReader, limits: PartLimits = PART_LIMITS
    ) -> None:
        """`snapshot` is the cluster without its workloads."""
        self._queue, self._limits = queue, limits
        running = running_in(snapshot, most=limits.running + 1)
        self._runs_more = len(running) > limits.running
        self._view = ClusterView(replace(snapshot, running=running[: limits.running]))
        self._bounds = Bounds(self._view)

    @property
    def now_ms(self) -> int:
        """The moment of all that is read."""
        return self._view.snapshot.now_ms

    @cached_property
    def now(self) -> Part:
        """With what could start now: in what is free, in what it may evict, or in what others may
        evict beyond their need."""
        return self._now(set())

    def now_with(self, workload: Workload) -> Part:
        """The same part, whether or not the workload is queued yet: its own victims count too."""
        return self._now({workload.priority})

    def _now(self, asked: set[str]) -> Part:
        """`asked`: classes of which a workload waits, or is about to."""
        policy, bounds = self._view.snapshot.policy, self._bounds
        if self._view.snapshot.state != ACTIVE:  # nothing starts, whatever waits
            return Part(self._view.snapshot)
        if policy.queueing == BEST_EFFORT:
            part = self._read(bounds.size_classes, bounds.count, bounds.quotas)
            return self.ever if self._may_evict(part, asked) else part
        snapshot = self._view.snapshot
        has_gates = bounds.quotas is not None or snapshot.sweeps or snapshot.windows
        if policy.ordering == FAIR_SHARE or has_gates:
            return self.ever  # any workload may be the head
        part = self._read(bounds.size_classes, bounds.count, None)
        if part.last is not None or self._may_evict(part, asked):
            return self.ever
        heads = HeadReader(self._queue, decide, self._limits.keys)
        view = heads.with_head(self._view.with_queue(part.snapshot.queued), bounds)
        return replace(part, snapshot=view.snapshot)

    def _may_evict(self, part: Part, asked: set[str]) -> bool:
        """Whether a workload that was read, or one of the classes `asked`, has possible victims:
        what these free beyond its need may let others start, which then have to be read."""
        classes = self._view.cluster.classes
        waiting = {each.priority for each in part.snapshot.queued} | asked
        names = waiting & preempting_classes(self._view)
        return any(evictable_below(self._view, classes[name].value) for name in names)

    @cached_property
    def ever(self) -> Part:
        """With what could start once others have ended."""
        snapshot = self._view.snapshot

        def count(head: Workload) -> int:
            return min(head.total.count_in(snapshot.total), snapshot.max_starts)

        return self._read(possible(self._view), count, None)

    def line(self, most: int) -> Snapshot | None:
        """The cluster with the first `most` of the line, without what could never start; None where
        more runs than one answer considers."""
        if self._runs_more:
            return None
        snapshot = self._view.snapshot
        found, _ = self._queue.in_order(snapshot, possible(self._view), FIRST_KEY, most)
        return self._view.with_queue(tuple(found)).snapshot

    def _read(
        self,
        sizes: Sequence[SizeClass],
        count: Callable[[Workload], int],
        quotas: OwnerUsage | None,
    ) -> Part:
        """`count` is how many workloads like one could start."""
        limits, snapshot = self._limits, self._view.snapshot
        last, is_cut = None, self._runs_more
        heads, complete = self._queue.heads(sizes, limits.keys, quotas)
        if complete:
            few = max(limits.members // max(len(heads), 1), 1)
            most = {head: count(head) for head in heads}
            behind = self._queue.members({head: min(n, few) for head, n in most.items()})
            read = Counter(workload.scheduling_key for workload in behind)
            is_cut |= any(read[head.scheduling_key] == few < n for head, n in most.items())
            found = [*heads, *behind]
        else:
            found, _ = self._queue.in_order(snapshot, sizes, FIRST_KEY, limits.keys, quotas)
            last = found[-1] if len(found) == limits.keys else None
        starved = read_starved(snapshot, self._queue, self._bounds, StarvedPart(MOST_STARVED))
        view = with_workloads(self._view, [*found, *starved])
        return Part(view.snapshot, tuple(found), last, is_cut)
