"""Selects the rows a cycle must read so that its plan equals the plan of the full queue.

A short queue is read whole (short.py). Of a longer one, a workload that asks for more than
could come free in any bin (bounds.py) cannot start, so it is not read, with two exceptions: the
first in line where a blocked head counts for the others (head.py), and the first of the
starved, since capacity may be reserved for them (starved.py). A workload over its owner's quota
even then is never read: it is in the way of none.
"""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import takewhile

from scheduler.engine import Decision
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.plan import Start
from scheduler.engine.queue.order import order_key
from scheduler.engine.snapshot import FAIR_SHARE, Workload
from scheduler.store.queue.bounds import Bounds
from scheduler.store.queue.head import Decide, HeadReader, with_workloads
from scheduler.store.queue.reader import EVERY_KEY, FIRST_KEY, QueueReader
from scheduler.store.queue.short import running_that_matters
from scheduler.store.queue.starved import (
    StarvedPart,
    ends_matter,
    enough_are_read,
    hopeless_keys,
    read_further,
    read_starved,
    starved_gangs,
)
from scheduler.store.running import running_in


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the queue is read at first; all but `short` are widened where they turn out too
    narrow."""

    short: int = 8  # waiting deployments up to which all of them are read
    keys: int = 2000  # different requests that fit, beyond which they are read in their order
    members: int = 5_000  # workloads that could start, beyond which a few of each key are read
    starved: int = 8  # of each class
    heads: int = 8


LIMITS = Limits()


class RelevantReader:
    """Widens the view of one cluster, under its lock, until no more of it could matter."""

    def __init__(self, queue: QueueReader, decide: Decide, limits: Limits) -> None:
        self._queue, self._limits = queue, limits
        self._decide = _Latest(decide)
        self._heads = HeadReader(queue, self._decide, limits.heads)
        self._starved: list[Workload] = []  # those that were read as such

    def read(self, view: ClusterView) -> Decision:
        """The decision of a view without a queue once it is wide enough; the last view is decided
        once.

        First the workloads that fit in what is free, which most often are all that can start. Where
        others wait that may evict, or whose turn depends on ends, then what runs, and what could
        start thanks to that, until no eviction frees more than was reckoned with.
        """
        bounds, starved = Bounds(view), StarvedPart(self._limits.starved)
        view = self._with_queue(view, bounds, starved)
        started = self._started(view, bounds)
        left = self._queue.waiting(started) | starved_gangs(view.snapshot)
        if not left:
            return self._decide(view)
        all_run = bool(view.snapshot.running)
        if not all_run:
            all_run = ends_matter(view.snapshot)
            view = view.with_running(running_that_matters(view, left))
        if not view.snapshot.running and enough_are_read(view, started, bounds, starved):
            decision = self._decide(view)
            if not self._further(decision, bounds, starved):
                return decision
        return self._widen(view, starved, all_run=all_run)

    def _widen(self, view: ClusterView, starved: StarvedPart, *, all_run: bool) -> Decision:
        """Read the queue again for what evictions free, and for more of the starved."""
        evicted = frozenset[str]()
        while True:
            bounds = Bounds(view, evicted)
            view = self._with_queue(view, bounds, starved)
            if not all_run and ends_matter(view.snapshot):  # starved workloads may be read by now
                view, all_run = view.with_running(running_in(view.snapshot)), True
                continue
            decision = self._decide(view)
            enough = enough_are_read(view, decision.started, bounds, starved)
            further = [] if decision.is_spent else self._further(decision, bounds, starved)
            settled = decision.preempted <= evicted and enough and not further
            if decision.is_spent or settled:
                return decision
            if further:
                starved = replace(starved, further=(*starved.further, *further))
            if not enough:
                hopeless = starved.hopeless | hopeless_keys(view.snapshot, bounds)
                starved = StarvedPart(starved.first * 8, hopeless, starved.further)
            if not decision.preempted <= evicted:
                evicted |= decision.preempted
                starved = StarvedPart(starved.first, further=starved.further)

    def _further(self, decision: Decision, bounds: Bounds, starved: StarvedPart) -> list[Workload]:
        return read_further(decision, self._queue, bounds, starved, self._starved)

    def _started(self, view: ClusterView, bounds: Bounds) -> set[str]:
        """What starts of the queue; nothing to decide if the bounds allow none of it."""
        if not any(map(bounds.allow, view.snapshot.queued)):
            return set()
        return self._decide(view).started

    # --- The queue -------------------------------------------------------------------------------

    def _with_queue(self, view: ClusterView, bounds: Bounds, starved: StarvedPart) -> ClusterView:
        """With the workloads that the bounds allow, the starved and the head, instead of those that
        it has."""
        self._starved = read_starved(view.snapshot, self._queue, bounds, starved)
        view = view.with_queue(tuple(self._starved))
        most_keys = self._limits.keys
        if view.snapshot.policy.ordering == FAIR_SHARE:  # shares change with each start
            most_keys = EVERY_KEY
        heads, complete = self._queue.heads(bounds.size_classes, most_keys, bounds.quotas)
        if not complete:
            return self._with_those_in_turn(view, bounds)
        most = {head: bounds.count(head) for head in heads}
        view = with_workloads(view, heads)
        if sum(most.values()) > self._limits.members:
            return self._with_some_members(view, bounds, most)
        return self._heads.with_head(with_workloads(view, self._queue.members(most)), bounds)

    def _with_some_members(
        self, view: ClusterView, bounds: Bounds, most: dict[Workload, int]
    ) -> ClusterView:
        """With a few behind each head, and more where all of these start: as long as one does not,
        none behind it would. Starved ones of its key say nothing of those before them."""
        few = max(self._limits.members // len(most), 1)
        asked = {head: min(count, few) for head, count in most.items()}
        found = self._queue.members(asked)
        while True:
            wider = self._heads.with_head(with_workloads(view, found), bounds)
            decision = self._decide(wider)
            if decision.is_spent:
                return wider
            started = decision.started | decision.delayed  # those behind the latter may start
            waiting = {w.scheduling_key for w in (*most, *found) if w.id not in started}
            read = Counter(workload.scheduling_key for workload in found)
            more = {
                head: min(8 * count, most[head])
                for head, count in asked.items()
                if count < most[head]
                and head.scheduling_key not in waiting
                and read[head.scheduling_key] == count
            }
            if not more:
                return wider
            asked |= more
            keys = {head.scheduling_key for head in more}
            found = [workload for workload in found if workload.scheduling_key not in keys]
            found += self._queue.members(more)

    def _with_those_in_turn(self, view: ClusterView, bounds: Bounds) -> ClusterView:
        """With the workloads that fit at their turn: each part of the line leaves less for the
        next."""
        found: list[Workload] = []
        evicted, after, most = bounds.evicted, FIRST_KEY, self._limits.keys
        while True:
            part, after = self._queue.in_order(
                view.snapshot, bounds.size_classes, after, most, bounds.quotas
            )
            found += part
            wider = self._heads.with_head(with_workloads(view, found), bounds)
            if len(part) < most:
                return wider
            decision = self._decide(wider)
            starts = _starts_up_to(found[-1], decision)
            if decision.is_unfinished and len(starts) >= view.snapshot.max_starts:
                return wider
            if decision.is_spent:
                return wider
            evicted |= decision.preempted
            bounds = Bounds(wider, evicted, _settled(starts, found[-1], decision))
            most *= 4


def _starts_up_to(last: Workload, decision: Decision) -> list[Start]:
    """The starts before that of any workload behind `last` in line: whatever else is read of those
    behind, these stay. The start of one behind may end a reservation, and so let one start that was
    refused at its turn."""
    key = order_key(decision.snapshot)
    queued = {workload.id: workload for workload in decision.snapshot.queued}
    return list(
        takewhile(lambda start: key(queued[start.workload_id]) <= key(last), decision.starts)
    )


def _settled(starts: list[Start], last: Workload, decision: Decision) -> list[Start]:
    """Those of the starts whose nodes stay, too. From its first preemption on, a class chooses all
    its victims together: one more preemptor of it may change them, and then where others start."""
    classes = decision.view.cluster.classes
    queued = {workload.id: workload for workload in decision.snapshot.queued}
    value = classes[last.priority].value

    def stays(start: Start) -> bool:
        return not start.victims or classes[queued[start.workload_id].priority].value > value

    return list(takewhile(stays, starts))


class _Latest:
    """Decides, but a view that equals the latest one only once: most often an eviction lets nothing
    in that was not read already."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._latest: Decision | None = None

    def __call__(self, view: ClusterView) -> Decision:
        if self._latest is None or not _are_equal(self._latest.view, view):
            self._latest = self._decide(view)
        return self._latest


def _are_equal(one: ClusterView, other: ClusterView) -> bool:
    """Of two views of one cluster: in whatever order their queues were read."""
    queues = ({each.id: each for each in view.snapshot.queued} for view in (one, other))
    return one.snapshot.running == other.snapshot.running and next(queues) == next(queues)
