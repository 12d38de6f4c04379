"""What can come free at most: all that open nodes have beside the services there.

Without a time limit nothing but a stop ends a service, or one who evicts it. For whom this is too
little nothing is held back: it would not start whatever else came free.
"""

from scheduler.engine.capacity import Capacity
from scheduler.engine.order import by_name
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import LOWER_PRIORITY, READY, Running, Snapshot, Workload

_Change = tuple[int, Resources, Resources]  # a bin, its room before and after


class LongRunning:
    """Of one cluster, as some of them are evicted: rooms only grow."""

    def __init__(self, snapshot: Snapshot, capacity: Capacity) -> None:
        self.gone = 0
        self._capacity, self._policy = capacity, snapshot.policy
        self._classes = by_name(snapshot.classes)
        self._running = {each.id: each for each in snapshot.running if each.endless}
        self._rooms: dict[str, list[Resources]] = {}  # by priority class, as the next
        self._changes: dict[str, list[_Change]] = {}
        self._counts: dict[str, tuple[int, int | None]] = {}  # by scheduling key: with seen changes
        self._all_open = all(node.state == READY for node in snapshot.nodes)

    def evicted(self, id_: str) -> None:
        running = self._running.pop(id_, None)
        if running is None:
            return
        self.gone += 1
        for priority, rooms in self._rooms.items():
            if not self._may_yield(running, priority):
                for at, count in self._capacity.bins_of(running.placement):
                    before = rooms[at]
                    rooms[at] = before.plus(running.request.times(count))
                    self._changes[priority].append((at, before, rooms[at]))

    def free_beside(self, priority: str) -> list[Resources]:
        """What each bin has beside the services that a class can never evict."""
        if priority not in self._rooms:
            rooms = self._capacity.totals.copy()
            for running in self._running.values():
                if not self._may_yield(running, priority):
                    for at, count in self._capacity.bins_of(running.placement):
                        rooms[at] = rooms[at].minus(running.request.times(count))
            self._rooms[priority], self._changes[priority] = rooms, []
        return self._rooms[priority]

    def leave_enough_for(self, workload: Workload) -> bool:
        """Whether it could start if nobody but they ran."""
        if self._all_open and not self._running:
            return True
        rooms, changes = self.free_beside(workload.priority), self._changes[workload.priority]
        request, key = workload.request, workload.scheduling_key
        count, seen = self._counts.get(key, (0, None))
        if seen is None:
            for at in self._capacity.eligible(workload.selector):
                count += request.count_in(rooms[at])
                if count >= workload.replicas:  # and rooms only grow
                    break
        elif count < workload.replicas:
            for at, before, after in changes[seen:]:
                if self._capacity.is_eligible(at, workload.selector):
                    count += request.count_in(after) - request.count_in(before)
        self._counts[key] = (count, len(changes))
        return count >= workload.replicas

    def _may_yield(self, running: Running, priority: str) -> bool:
        """Whether the class may evict it, now or once it has run for long enough."""
        its, other = self._classes[running.priority], self._classes[priority]
        return (
            self._policy.preemption == LOWER_PRIORITY
            and other.may_preempt
            and its.preemptible
            and its.value < other.value
            and running.preemptions < self._policy.max_preemptions
        )
