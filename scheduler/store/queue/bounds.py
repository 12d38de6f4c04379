"""What could come free at most in one cycle: the bounds by which the queue is read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.decision import outside
from scheduler.engine.plan import Start
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.resources import ENDLESS, Resources, add_up
from scheduler.engine.snapshot import LOWER_PRIORITY, NEVER, Workload
from scheduler.engine.upper_bounds import evictable_below, free_by_bin, usage_once_gone
from scheduler.engine.wait_reasons import impossible
from scheduler.store.queue.reader import FreeByClass, SizeClass, size_classes


class Bounds:
    """Of one cluster, once the running workloads in `evicted`, and those that a drain evicts, have
    left; and once `starts`, of workloads in the view's queue, have their allocations.

    Each bound is derived when it is first asked for. None depends on the queue beyond the starts.
    """

    def __init__(
        self, view: ClusterView, evicted: Collection[str] = (), starts: Iterable[Start] = ()
    ) -> None:
        self._view, self.evicted, self._starts = view, frozenset(evicted), tuple(starts)

    # --- What could start ------------------------------------------------------------------------

    @cached_property
    def free(self) -> FreeByClass:
        """By class, what each bin could have free for it: what it may evict is free."""
        view = self._view
        usual = free_by_bin(view, self.evicted, self._starts)
        may_evict = preempting_classes(view) if view.snapshot.running else ()
        found: dict[str, Sequence[Resources]] = dict.fromkeys(view.cluster.classes, usual)
        for name in may_evict:
            victims = {each.id for each in evictable_below(view, view.cluster.classes[name].value)}
            found[name] = free_by_bin(view, victims | self.evicted, self._starts)
        return found

    @cached_property
    def size_classes(self) -> list[SizeClass]:
        return size_classes(self.free)

    @cached_property
    def usage(self) -> OwnerUsage:
        """With the policy's preemption within a quota, once all that may be evicted for its sake
        has left too."""
        return usage_once_gone(self._view, self.evicted | self._evictable_for_quotas)

    @property
    def _evictable_for_quotas(self) -> frozenset[str]:
        view = self._view
        if view.snapshot.policy.preemption_within_quota == NEVER or not view.snapshot.quotas:
            return frozenset()
        values = [view.cluster.classes[name].value for name in preempting_classes(view)]
        return frozenset(each.id for each in evictable_below(view, max(values, default=-ENDLESS)))

    @property
    def quotas(self) -> OwnerUsage | None:
        """What quotas leave at most, if there are any: no workload over its own need be read."""
        return self.usage if self._view.snapshot.quotas else None

    def count(self, head: Workload) -> int:
        """How many workloads of one scheduling key could start in one cycle, or wait for time
        limits there, while those behind them start."""
        snapshot = self._view.snapshot
        most = min(head.total.count_in(self._free_in_all[head.priority]), snapshot.max_starts)
        if snapshot.policy.preemption_delay_s and head.priority in preempting_classes(self._view):
            most += head.total.count_in(snapshot.total)
        if self.quotas is not None:
            unused = self.quotas.unused_quota(head.owner).at_most(snapshot.total)
            most = min(most, head.total.count_in(unused))
        if head.sweep:
            most = min(most, self.usage.sweeps.left(head.sweep))
        return most

    @cached_property
    def _free_in_all(self) -> dict[str, Resources]:
        return {name: add_up(amounts) for name, amounts in self.free.items()}

    def allow(self, workload: Workload) -> bool:
        """Whether it asks for no more than could come free: in one bin, or for a gang in all."""
        if workload.replicas > 1:
            return workload.total.fits_in(self._free_in_all[workload.priority])
        return any(workload.total.fits_in(free) for free in self.free[workload.priority])

    # --- What could be reserved for --------------------------------------------------------------

    @cached_property
    def beside_long_running(self) -> list[SizeClass]:
        """What could start if nothing but long-running services ran."""
        if not self._view.snapshot.running:
            return possible(self._view)
        every = range(len(self._view.cluster.capacity.ids))
        return self.beside_long_running_in(dict.fromkeys(self._view.cluster.classes, every))

    def beside_long_running_in(self, bins: Mapping[str, Collection[int]]) -> list[SizeClass]:
        """The same of these bins alone, by class."""
        free = self._long_running.free_beside
        return size_classes({name: [free(name)[at] for at in each] for name, each in bins.items()})

    def could_ever_start(self, workload: Workload) -> bool:
        """Whether the empty cluster could run it, also beside the long-running services, its sweep
        allows one more, and no window keeps it back."""
        if workload.sweep and self.usage.sweeps.is_full(workload):
            return False
        if impossible(self._view.cluster.capacity, workload) is not None:
            return False
        return any(map(self._long_running.leave_enough_for, self.outside_windows(workload)))

    def outside_windows(self, workload: Workload) -> list[Workload]:
        """As it asks for nodes outside the windows that it reaches into; none where too few are."""
        if not self._view.snapshot.windows:
            return [workload]
        return outside(self._view, [workload])[0]

    @cached_property
    def _long_running(self) -> LongRunning:
        long_running = self._view.running.long_running.copy()
        for id_ in {running.id for running in self._view.running.leaving} | self.evicted:
            long_running.evicted(id_)
        return long_running


def possible(view: ClusterView) -> list[SizeClass]:
    """What the empty cluster could run, and little more."""
    return size_classes(dict.fromkeys(view.cluster.classes, view.cluster.capacity.totals))


def preempting_classes(view: ClusterView) -> frozenset[str]:
    """The names of the classes that may evict here."""
    if view.snapshot.policy.preemption != LOWER_PRIORITY:
        return frozenset()
    return frozenset(each.name for each in view.snapshot.classes if each.may_preempt)
