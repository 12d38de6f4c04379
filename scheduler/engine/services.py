"""What services leave: without a time limit nothing but a stop ends them, or one who evicts them.

Nothing is held back where they leave no room for whom it would be held: it would never start there.
"""

from scheduler.engine.capacity import Capacity
from scheduler.engine.order import by_name
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import LOWER_PRIORITY, Running, Snapshot, Workload


class Services:
    """Of one cluster, as some are evicted."""

    def __init__(self, snapshot: Snapshot, capacity: Capacity) -> None:
        self._capacity, self._policy = capacity, snapshot.policy
        self._classes = by_name(snapshot.classes)
        self._running = {each.id: each for each in snapshot.running if each.endless}
        self._rooms: dict[str, list[Resources]] = {}  # by priority class
        self._answers: dict[str, bool] = {}  # by scheduling key

    def evicted(self, id_: str) -> None:
        if self._running.pop(id_, None) is not None:
            self._rooms, self._answers = {}, {}

    def rooms(self, priority: str) -> list[Resources]:
        """What each bin has beside the services that a class can never evict."""
        if not self._running:
            return self._capacity.totals
        if priority not in self._rooms:
            rooms = self._capacity.totals.copy()
            for running in self._running.values():
                if not self._may_yield(running, priority):
                    for at, count in self._capacity.bins_of(running.placement):
                        rooms[at] = rooms[at].minus(running.request.times(count))
            self._rooms[priority] = rooms
        return self._rooms[priority]

    def leave_room_for(self, workload: Workload) -> bool:
        """Whether it could start if nobody but they ran, and closed nodes were open."""
        if not self._running:
            return True
        key = workload.scheduling_key
        if key not in self._answers:
            rooms, count = self.rooms(workload.priority), 0
            for at in self._capacity.ever_eligible(workload.selector):
                count += workload.request.count_in(rooms[at])
                if count >= workload.replicas:
                    break
            self._answers[key] = count >= workload.replicas
        return self._answers[key]

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
