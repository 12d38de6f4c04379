"""The latest moments at which running workloads release their allocations: reservations rely on
them."""

from collections.abc import Mapping
from typing import NamedTuple

from scheduler.engine.placement.capacity import Capacity, Where
from scheduler.engine.preemption.exemption import could_be_evicted
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import LOWER_PRIORITY, PriorityClass, Snapshot, Workload

End = tuple[int, Where, Resources]  # (latest end in ms, bins with replicas, request of a replica)


class _Allocation(NamedTuple):
    ends_ms: int | None  # by its time limit
    where: Where
    request: Resources
    value: int | None  # the priority value above which a workload could evict it, if any could
    began_ms: int | None


class Ends:
    """The ends of allocations in one cycle's state; the state adds its evictions and starts."""

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self._snapshot, self._capacity, self._classes = snapshot, capacity, classes
        self.gone: set[str] = set()  # the ids of those that were evicted
        self.begun: list[End] = []  # of those that have started, where they have a time limit
        self._left: dict[str, _Allocation] | None = None  # made when it is first needed

    def by_limits(self) -> list[End]:
        """The ends that time limits set."""
        ends = [
            (each.ends_ms, each.where, each.request)
            for each in self._allocations()
            if each.ends_ms is not None
        ]
        return ends + self.begun

    def may_evict(self, workload: Workload) -> bool:
        """Whether its class may evict at all."""
        policy = self._snapshot.policy
        return policy.preemption == LOWER_PRIORITY and self._classes[workload.priority].may_preempt

    def for_(self, workload: Workload) -> list[End]:
        """The ends that time limits set, or evictions by this workload: an allocation that it may
        evict ends, for it, as soon as it may."""
        if not self.may_evict(workload):
            return self.by_limits()
        now_ms, own = self._snapshot.now_ms, self._classes[workload.priority].value
        exempt_ms = self._snapshot.policy.preempt_exempt_s * 1000
        ends = []
        for ends_ms, where, request, value, began_ms in self._allocations():
            at_ms = ends_ms
            if value is not None and value < own:
                since_ms = workload.queued_ms
                if began_ms is not None and began_ms < since_ms:
                    since_ms = began_ms
                from_ms = max(since_ms + exempt_ms, now_ms)
                at_ms = from_ms if ends_ms is None or from_ms < ends_ms else ends_ms
            if at_ms is not None:
                ends.append((at_ms, where, request))
        return ends + self.begun

    def _allocations(self) -> list[_Allocation]:
        """Those of the running workloads that no workload has evicted."""
        if self._left is None:
            self._left = {}
            classes, policy = self._classes, self._snapshot.policy
            preempts = policy.preemption == LOWER_PRIORITY
            for running in self._snapshot.running:
                priority = classes[running.priority]
                evictable = preempts and could_be_evicted(running, priority, policy)
                if evictable or running.ends_ms is not None:
                    self._left[running.id] = _Allocation(
                        running.ends_ms,
                        self._capacity.bins_of(running.placement),
                        running.request,
                        priority.value if evictable else None,
                        running.admitted_ms if running.started_ms is None else running.started_ms,
                    )
        for id_ in self.gone:
            self._left.pop(id_, None)
        self.gone.clear()
        self._capacity.budget.spent += len(self._left) // 2
        return list(self._left.values())


def runs_after(at_ms: int, workload: Workload, now_ms: int) -> bool:
    """Whether the workload, started now, might still run after `at_ms`."""
    return workload.limit_s is None or now_ms + workload.limit_s * 1000 > at_ms
