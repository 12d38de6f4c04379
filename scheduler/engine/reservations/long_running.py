"""The capacity that services leave: the most that could come free for other workloads.

A service has no time limit, so only a stop or an eviction ends it. No capacity is reserved for a
workload that does not fit beside the services: it could not start, whatever else came free.
"""

from collections.abc import Mapping
from copy import copy

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import (
    LOWER_PRIORITY,
    READY,
    Labels,
    PriorityClass,
    Running,
    Snapshot,
    Workload,
)

_Change = tuple[int, Resources, Resources]  # a bin, its free amount before and after


class LongRunning:
    """The services of one cluster. Evictions only shrink their number, so free amounts only
    grow."""

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self.evictions = 0
        self._capacity, self._policy = capacity, snapshot.policy
        self._classes = classes
        self._running = {each.id: each for each in snapshot.running if each.endless}
        self._free: dict[str, list[Resources]] = {}  # by priority class, then by bin
        self._changes: dict[str, list[_Change]] = {}
        # By scheduling key and selector, in which the label of windows may be: the replicas that
        # fit, and how many changes that number includes.
        self._counts: dict[tuple[str, Labels], tuple[int, int | None]] = {}
        self._all_open = all(node.state == READY for node in snapshot.nodes)

    def copy(self) -> "LongRunning":
        """The same services, to be evicted on their own."""
        other = copy(self)
        other._running, other._counts = self._running.copy(), self._counts.copy()
        other._free = {priority: free.copy() for priority, free in self._free.items()}
        other._changes = {priority: each.copy() for priority, each in self._changes.items()}
        return other

    def evicted(self, id_: str) -> None:
        """Remove an evicted workload, if it is a service."""
        running = self._running.pop(id_, None)
        if running is None:
            return
        self.evictions += 1
        for priority, free in self._free.items():
            if not self._may_yield(running, priority):
                for at, count in self._capacity.bins_of(running.placement):
                    before = free[at]
                    free[at] = before.plus(running.request.times(count))
                    self._changes[priority].append((at, before, free[at]))

    def free_beside(self, priority: str) -> list[Resources]:
        """By bin, the capacity beside the services that the priority class can never evict."""
        if priority not in self._free:
            free = self._capacity.totals.copy()
            for running in self._running.values():
                if not self._may_yield(running, priority):
                    for at, count in self._capacity.bins_of(running.placement):
                        free[at] = free[at].minus(running.request.times(count))
            self._free[priority], self._changes[priority] = free, []
        return self._free[priority]

    def leave_enough_for(self, workload: Workload) -> bool:
        """Whether the workload could start if nothing but the services ran."""
        if self._all_open and not self._running:
            return True
        free, changes = self.free_beside(workload.priority), self._changes[workload.priority]
        request, key = workload.request, (workload.scheduling_key, workload.selector)
        count, seen = self._counts.get(key, (0, None))
        if seen is None:
            for at in self._capacity.eligible(workload.selector):
                count += request.count_in(free[at])
                if count >= workload.replicas:  # free amounts only grow
                    break
        elif count < workload.replicas:
            for at, before, after in changes[seen:]:
                if self._capacity.is_eligible(at, workload.selector):
                    count += request.count_in(after) - request.count_in(before)
        self._counts[key] = (count, len(changes))
        return count >= workload.replicas

    def _may_yield(self, running: Running, priority: str) -> bool:
        """Whether the class may evict the service, now or after its exempt time."""
        its, other = self._classes[running.priority], self._classes[priority]
        return (
            self._policy.preemption == LOWER_PRIORITY
            and other.may_preempt
            and its.preemptible
            and its.value < other.value
            and running.preemptions < self._policy.max_preemptions
        )
