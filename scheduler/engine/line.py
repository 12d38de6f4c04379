"""Who waits, in the scheduling order, equal ones behind each other: what a cycle looks at follows
the different requests, not the length of the queue.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush

from scheduler.engine.order import order_key
from scheduler.engine.snapshot import Snapshot, Workload

_Key = tuple[int, int, int, str]
Place = tuple[_Key, int, Sequence[Workload]]  # the key of one of a group, its number there, all


class Line:
    """Those of a snapshot who could run in the empty cluster."""

    def __init__(self, snapshot: Snapshot, workloads: Iterable[Workload] = ()) -> None:
        self.key = order_key(snapshot)
        self._values = {priority.name: priority.value for priority in snapshot.classes}
        self._ordered = sorted(workloads, key=self.key)
        self._groups: dict[str, list[Workload]] = {}  # by scheduling key, in order
        for workload in self._ordered:
            self._groups.setdefault(workload.scheduling_key, []).append(workload)

    def __iter__(self) -> Iterator[Workload]:
        return iter(self._ordered)

    def walk(self) -> "Walk":
        return Walk(self)

    def heads(self) -> list[Place]:
        """The first of each group, as a heap that is the caller's."""
        return sorted((self.key(group[0]), 0, group) for group in self._groups.values())

    def starved(self, since_ms: int) -> Iterator[Workload]:
        """Who has waited since then: 1. the most urgent class, 2. the longest wait, 3. the id."""
        waited = [workload for workload in self._ordered if workload.queued_ms <= since_ms]
        return iter(sorted(waited, key=lambda w: (-self._values[w.priority], w.queued_ms, w.id)))


class Walk:
    """Once along the line. Who is refused takes all equals behind along, but one who is called."""

    def __init__(self, line: Line) -> None:
        self._key = line.key
        self._heap = line.heads()
        self._last: Place | None = None
        self._refused: dict[str, Place] = {}  # by scheduling key: the first who was
        self._called: Workload | None = None

    def __iter__(self) -> "Walk":
        return self

    def __next__(self) -> Workload:
        if self._last is not None:
            _, number, group = self._last
            if number + 1 < len(group):
                heappush(self._heap, (self._key(group[number + 1]), number + 1, group))
        if not self._heap:
            raise StopIteration
        self._last = heappop(self._heap)
        _, number, group = self._last
        return group[number]

    def refuse(self, workload: Workload) -> None:
        """The one that was looked at last; those behind that equal it have the same answer."""
        if self._last is not None:
            self._refused.setdefault(workload.scheduling_key, self._last)
        self._last = None

    def retry(self, fits: Callable[[Workload], bool]) -> None:
        """Look again, and first, at those who were refused and now fit."""
        for scheduling_key, place in list(self._refused.items()):
            _, number, group = place
            if fits(group[number]):
                del self._refused[scheduling_key]
                heappush(self._heap, place)

    def call(self, workload: Workload) -> None:
        """It has another answer than its equals, or than when its turn was: look at it, then or,
        where that is over, now."""
        if workload.scheduling_key in self._refused and workload is not self._called:
            self._called = workload
            heappush(self._heap, (self._key(workload), 0, [workload]))
