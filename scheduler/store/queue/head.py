"""The first workload in line that does not fit, where its wait decides what the others may do."""

from collections import Counter
from collections.abc import Callable, Iterable

from scheduler.engine import Decision
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.order import order_key
from scheduler.engine.snapshot import EASY_BACKFILL, FAIR_SHARE, STRICT, Workload
from scheduler.engine.wait_reasons import impossible
from scheduler.store.queue.bounds import Bounds, possible
from scheduler.store.queue.reader import EVERY_KEY, QueueReader

Decide = Callable[[ClusterView], Decision]


def with_workloads(view: ClusterView, workloads: Iterable[Workload]) -> ClusterView:
    queued = {workload.id: workload for workload in (*view.snapshot.queued, *workloads)}
    return view.with_queue(tuple(queued.values()))


class HeadReader:
    """Reads the head under the policies where a blocked one counts for the others."""

    def __init__(self, queue: QueueReader, decide: Decide, few: int) -> None:
        """`few` heads are read at a time where quotas, sweeps or windows may gate them."""
        self._queue, self._decide, self._few = queue, decide, few

    def with_head(self, view: ClusterView, bounds: Bounds) -> ClusterView:
        """The view with the first in line of all others that could ever run."""
        policy = view.snapshot.policy
        if policy.queueing not in (STRICT, EASY_BACKFILL):
            return view
        if policy.ordering == FAIR_SHARE:  # each may be the first in line
            heads, _ = self._queue.heads(possible(view), EVERY_KEY, bounds.quotas)
            return self._with_next_of_key(view, heads)
        if bounds.quotas is not None or view.snapshot.sweeps or view.snapshot.windows:
            return self._with_ungated(view, bounds.usage)
        return self._with_first(view)

    def _with_first(self, view: ClusterView) -> ClusterView:
        snapshot, found, never = view.snapshot, possible(view), set[str]()
        known = [workload.id for workload in snapshot.queued]
        while candidates := self._queue.first(snapshot, found, known, never):
            first = min(candidates, key=order_key(snapshot))
            if impossible(view.cluster.capacity, first) is None:
                return with_workloads(view, [first])
            never.add(first.scheduling_key)
        return view

    def _with_next_of_key(self, view: ClusterView, heads: list[Workload]) -> ClusterView:
        """With these heads; where one is read already, and may start, with the next of its key."""
        read = Counter(workload.scheduling_key for workload in view.snapshot.queued)
        behind = self._queue.members({head: read[head.scheduling_key] for head in heads})
        return with_workloads(view, [*heads, *behind])

    def _with_ungated(self, view: ClusterView, quotas: OwnerUsage) -> ClusterView:
        """The first in line may be passed over for its owner's quota, its sweep or a window, and
        then the next one counts, and so on to one that is not."""
        found, few = possible(view), self._few
        while True:
            heads = self._queue.first_heads(view.snapshot, found, quotas, few)
            wider = self._with_next_of_key(view, heads)
            if len(heads) < few or _is_decided_by(self._decide(wider), heads[-1]):
                return wider
            few *= 8


def _is_decided_by(decision: Decision, last: Workload) -> bool:
    """Whether the workloads up to `last` in line decide which others start: one of them is the
    head, or the cycle is full with them."""
    key = order_key(decision.snapshot)
    if decision.head is not None:
        return key(decision.head) <= key(last)
    started = (each for each in decision.snapshot.queued if each.id in decision.started)
    return decision.is_full and all(key(workload) <= key(last) for workload in started)
