"""Who waits, in the scheduling order, equal ones behind each other: what a cycle looks at follows
the different requests, not the length of the queue.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Any

from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.order import order_key
from scheduler.engine.snapshot import FAIR_SHARE, Snapshot, Workload

_Key = tuple[int, int, int, str]
_Queue = tuple[str, str]  # whose: a priority class, an owner
_Turn = tuple[_Key, _Queue]
Entry = tuple[_Key, int, Sequence[Workload]]  # the key of one of a group, its number there, all


class WaitingQueue:
    """Those of a snapshot who could run in the empty cluster; as long as nobody asks for shares,
    owners' shares count for nothing in their order."""

    def __init__(self, snapshot: Snapshot, workloads: Iterable[Workload] = ()) -> None:
        self.key = order_key(snapshot)
        self._snapshot = snapshot
        self._values = {priority.name: priority.value for priority in snapshot.classes}
        self._ordered = sorted(workloads, key=self.key)
        self._groups: dict[str, list[Workload]] = {}  # by scheduling key, in order
        for workload in self._ordered:
            self._groups.setdefault(workload.scheduling_key, []).append(workload)

    def with_one(self, workload: Workload) -> "WaitingQueue":
        """The same with one more; this one stays as it is."""
        line, key = copy(self), workload.scheduling_key
        line._ordered = _with(workload, self._ordered, self.key)
        line._groups = {**self._groups, key: _with(workload, self._groups.get(key, []), self.key)}
        line._waiters = _with(workload, self._waiters, self._wait_key)
        return line

    def __iter__(self) -> Iterator[Workload]:
        return iter(self._ordered)

    def iterate(self, owners: OwnerUsage | None = None) -> "QueueIterator":
        """With `owners`, where shares order them: whoever's is the smallest at that moment is next
        of a class."""
        if owners is not None and self._snapshot.policy.ordering == FAIR_SHARE:
            return FairShareIterator(self, self._snapshot, owners)
        return QueueIterator(self)

    def heads(self) -> list[Entry]:
        """The first of each group, as a heap that is the caller's."""
        return sorted((self.key(group[0]), 0, group) for group in self._groups.values())

    def starved(self, since_ms: int) -> Iterator[Workload]:
        """Who has waited since then: 1. the most urgent class, 2. the longest wait, 3. the id."""
        return (workload for workload in self._waiters if workload.queued_ms <= since_ms)

    @cached_property
    def _waiters(self) -> list[Workload]:
        return sorted(self._ordered, key=self._wait_key)

    def _wait_key(self, workload: Workload) -> tuple[int, int, str]:
        return (-self._values[workload.priority], workload.queued_ms, workload.id)


def _with(
    workload: Workload, others: list[Workload], key: Callable[[Workload], Any]
) -> list[Workload]:
    others = others.copy()
    insort(others, workload, key=key)
    return others


class QueueIterator:
    """Once along the line. Who is refused takes all equals behind along, but one who is called."""

    def __init__(self, line: WaitingQueue) -> None:
        self._key = line.key
        self._heap = line.heads()
        self._last: Entry | None = None
        self._refused: dict[str, Entry] = {}  # by scheduling key: the first who was
        self._called: Workload | None = None

    def __iter__(self) -> "QueueIterator":
        return self

    def __next__(self) -> Workload:
        if self._last is not None:
            _, number, group = self._last
            if number + 1 < len(group):
                self._push((self._key(group[number + 1]), number + 1, group))
        self._last = self._pop()
        if self._last is None:
            raise StopIteration
        _, number, group = self._last
        return group[number]

    def _push(self, place: Entry) -> None:
        heappush(self._heap, place)

    def _pop(self) -> Entry | None:
        return heappop(self._heap) if self._heap else None

    def refuse(self, workload: Workload) -> None:
        """The one that was looked at last; those behind that equal it have the same answer."""
        if self._last is not None:
            self._refused.setdefault(workload.scheduling_key, self._last)
        self._last = None

    def retry(self, fits: Callable[[Workload], bool]) -> None:
        """Look again, and first, at those who were refused and now fit."""
        for scheduling_key, (_, number, group) in list(self._refused.items()):
            if fits(group[number]):
                del self._refused[scheduling_key]
                self._push((self._key(group[number]), number, group))

    def revisit(self, workload: Workload) -> None:
        """It has another answer than its equals, or than when its turn was: look at it, then or,
        where that is over, now."""
        if workload.scheduling_key in self._refused and workload is not self._called:
            self._called = workload
            self._push((self._key(workload), 0, [workload]))


class FairShareIterator(QueueIterator):
    """The same where places move as owners' shares do: within a class those of one owner stay in
    their order, so each such queue has its own, and the next is the first of one of them.

    A share that has grown is noticed when its owner's turn comes up: it is put back where it now
    belongs, and as the turns of all others are no earlier than they were, the first that stays is
    the first. One that has shrunk moves turns ahead, so all are put in order anew.
    """

    def __init__(self, line: WaitingQueue, snapshot: Snapshot, owners: OwnerUsage) -> None:
        super().__init__(line)
        self._fair_key = order_key(snapshot, owners)
        self._owners, self._shrunk = owners, owners.shrink_count
        self._queues: dict[_Queue, list[Entry]] = {}
        self._turns: list[_Turn] = []  # a heap
        self._turn_of: dict[_Queue, _Turn] = {}  # of each that has anybody, no later than it is due
        places, self._heap = self._heap, []
        for place in places:  # sorted, so each queue is a heap
            self._queues.setdefault(_queue_of(place), []).append(place)
        self._put_in_order()

    def _push(self, place: Entry) -> None:
        queue = _queue_of(place)
        heappush(self._queues.setdefault(queue, []), place)
        due = self._due(queue)
        if queue not in self._turn_of or due < self._turn_of[queue]:
            self._take_turn(due)

    def _pop(self) -> Entry | None:
        if self._owners.shrink_count != self._shrunk:
            self._shrunk = self._owners.shrink_count
            self._put_in_order()
        while self._turns:
            turn = heappop(self._turns)
            queue = turn[1]
            if turn != self._turn_of.get(queue):
                continue  # it has an earlier one
            if turn != (due := self._due(queue)):
                self._take_turn(due)
                continue
            place = heappop(self._queues[queue])
            if self._queues[queue]:
                self._take_turn(self._due(queue))
            else:
                del self._turn_of[queue]
            return place
        return None

    def _take_turn(self, turn: _Turn) -> None:
        self._turn_of[turn[1]] = turn
        heappush(self._turns, turn)

    def _due(self, queue: _Queue) -> _Turn:
        _, number, group = self._queues[queue][0]
        return (self._fair_key(group[number]), queue)

    def _put_in_order(self) -> None:
        self._turn_of = {
            queue: self._due(queue) for queue, places in self._queues.items() if places
        }
        self._turns = list(self._turn_of.values())
        heapify(self._turns)


def _queue_of(place: Entry) -> _Queue:
    _, number, group = place
    return (group[number].priority, group[number].owner)
