"""The waiting workloads in the scheduling order, grouped by scheduling key.

Workloads of one key get the same answer until something changes, so the work of a cycle grows with
the number of different requests, not with the length of the queue.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Any

from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.order import order_key
from scheduler.engine.snapshot import FAIR_SHARE, Snapshot, Workload

_Key = tuple[int, int, int, str]
_OwnerQueue = tuple[str, str]  # a priority class and an owner
_Turn = tuple[_Key, _OwnerQueue]
Entry = tuple[_Key, int, Sequence[Workload]]  # a workload's key, its index in its group, the group


class WaitingQueue:
    """The workloads that could run in the empty cluster. This order ignores the owners' shares;
    `iterate` applies them."""

    def __init__(self, snapshot: Snapshot, workloads: Iterable[Workload] = ()) -> None:
        self.key = order_key(snapshot)
        self._snapshot = snapshot
        self._values = {priority.name: priority.value for priority in snapshot.classes}
        self._ordered = sorted(workloads, key=self.key)
        self._groups: dict[str, list[Workload]] = {}  # by scheduling key, each in order
        self.variants: dict[str, list[Workload]] = {}  # by the id that all are variants of
        for workload in self._ordered:
            self._groups.setdefault(workload.scheduling_key, []).append(workload)
            if workload.variant_of is not None:
                self.variants.setdefault(workload.variant_of.id, []).append(workload)

    def with_one(self, workload: Workload) -> "WaitingQueue":
        """A copy with one workload more; this queue does not change."""
        queue, key = copy(self), workload.scheduling_key
        queue._ordered = _with(workload, self._ordered, self.key)
        queue._groups = {**self._groups, key: _with(workload, self._groups.get(key, []), self.key)}
        queue._by_waiting_time = _with(workload, self._by_waiting_time, self._wait_key)
        if workload.variant_of is not None:
            id_ = workload.variant_of.id
            queue.variants = {**self.variants, id_: [*self.variants.get(id_, ()), workload]}
        return queue

    def __iter__(self) -> Iterator[Workload]:
        return iter(self._ordered)

    def iterate(self, usage: OwnerUsage | None = None) -> "QueueIterator":
        """An iterator over the queue. With `usage`, under fair_share, the next workload of a class
        is of the owner with the smallest share at that moment."""
        if usage is not None and self._snapshot.policy.ordering == FAIR_SHARE:
            return FairShareIterator(self, self._snapshot, usage)
        return QueueIterator(self)

    def heads(self) -> list[Entry]:
        """The first workload of each group, as a new heap."""
        return sorted((self.key(group[0]), 0, group) for group in self._groups.values())

    def starved(self, since_ms: int) -> Iterator[Workload]:
        """The workloads that have waited since `since_ms` or longer, by 1. the most urgent class,
        2. the longest wait, 3. the id."""
        if all(workload.queued_ms > since_ms for workload in self._ordered):
            return iter(())  # most often, and then nothing is sorted
        return (workload for workload in self._by_waiting_time if workload.queued_ms <= since_ms)

    @cached_property
    def _by_waiting_time(self) -> list[Workload]:
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
    """Yields each workload of the queue once, in order.

    A refused workload's group is skipped from there on, until `retry` puts it back. `revisit` adds
    a single workload.
    """

    def __init__(self, queue: WaitingQueue) -> None:
        self._key = queue.key
        self._heap = queue.heads()
        self._last: Entry | None = None
        self.before_turn: Callable[[], None] | None = None  # may raise, which ends the cycle
        self._refused: dict[str, Entry] = {}  # by scheduling key: the first refused workload
        self._alone: set[str] = set()  # ids of those set aside, which are refused by their ids
        self._revisited: list[Workload] = []

    def __iter__(self) -> "QueueIterator":
        return self

    def __next__(self) -> Workload:
        if self.before_turn is not None:
            self.before_turn()
        if self._last is not None:
            _, number, group = self._last
            if number + 1 < len(group):
                self._push((self._key(group[number + 1]), number + 1, group))
        self._last = self._pop()
        if self._last is None:
            raise StopIteration
        _, number, group = self._last
        return group[number]

    def _push(self, entry: Entry) -> None:
        heappush(self._heap, entry)

    def _pop(self) -> Entry | None:
        return heappop(self._heap) if self._heap else None

    def refuse(self, workload: Workload) -> None:
        """Skip the rest of its group, which would get the same answer. `workload` is the one that
        this iterator yielded last."""
        if self._last is not None:
            key = workload.id if workload.id in self._alone else workload.scheduling_key
            self._refused.setdefault(key, self._last)
        self._last = None

    def set_aside(self, workload: Workload) -> None:
        """Refuse this workload alone: the rest of its group may get another answer."""
        self._alone.add(workload.id)
        self._refused[workload.id] = (self._key(workload), 0, [workload])

    def retry(self, fits: Callable[[Workload], bool]) -> int:
        """Yield the refused workloads that now satisfy `fits` again, at their position in the
        order. Returns the number of groups looked at."""
        refused = list(self._refused.items())
        for scheduling_key, (_, number, group) in refused:
            if fits(group[number]):
                del self._refused[scheduling_key]
                self._push((self._key(group[number]), number, group))
        return len(refused)

    def revisit(self, workloads: Sequence[Workload]) -> None:
        """Yield each of these that is of a refused group alone, at its position in the order or, if
        that is over, next. It may get another answer than its equals, or than before. A workload
        that was among those of the last call is not yielded again."""
        before, self._revisited = self._revisited, []
        for workload in workloads:
            if any(workload is each for each in before):
                self._revisited.append(workload)
            elif workload.scheduling_key in self._refused:
                self._revisited.append(workload)
                self._push((self._key(workload), 0, [workload]))


class FairShareIterator(QueueIterator):
    """The same under fair_share, where positions move as owners' shares do.

    Within a class the workloads of one owner keep their order. So each pair of class and owner has
    a queue of its own, and the next workload is the first of one of these queues.

    A grown share only moves turns back. The iterator notices it when the owner's turn comes up, and
    puts the turn back to its new position; the first turn that needs no move is the first of all.
    A shrunk share moves turns ahead, so the iterator then sorts all turns anew.
    """

    def __init__(self, queue: WaitingQueue, snapshot: Snapshot, usage: OwnerUsage) -> None:
        super().__init__(queue)
        self._fair_key = order_key(snapshot, usage)
        self._usage, self._shrunk = usage, usage.shrink_count
        self._queues: dict[_OwnerQueue, list[Entry]] = {}
        self._turns: list[_Turn] = []  # a heap
        self._turn_of: dict[_OwnerQueue, _Turn] = {}  # of each filled queue, never later than due
        entries, self._heap = self._heap, []
        for entry in entries:  # sorted, so each queue is a heap
            self._queues.setdefault(_queue_of(entry), []).append(entry)
        self._put_in_order()

    def _push(self, entry: Entry) -> None:
        queue = _queue_of(entry)
        heappush(self._queues.setdefault(queue, []), entry)
        due = self._due(queue)
        if queue not in self._turn_of or due < self._turn_of[queue]:
            self._take_turn(due)

    def _pop(self) -> Entry | None:
        if self._usage.shrink_count != self._shrunk:
            self._shrunk = self._usage.shrink_count
            self._put_in_order()
        while self._turns:
            turn = heappop(self._turns)
            queue = turn[1]
            if turn != self._turn_of.get(queue):
                continue  # the queue has an earlier turn
            if turn != (due := self._due(queue)):
                self._take_turn(due)
                continue
            entry = heappop(self._queues[queue])
            if self._queues[queue]:
                self._take_turn(self._due(queue))
            else:
                del self._turn_of[queue]
            return entry
        return None

    def _take_turn(self, turn: _Turn) -> None:
        self._turn_of[turn[1]] = turn
        heappush(self._turns, turn)

    def _due(self, queue: _OwnerQueue) -> _Turn:
        _, number, group = self._queues[queue][0]
        return (self._fair_key(group[number]), queue)

    def _put_in_order(self) -> None:
        self._turn_of = {
            queue: self._due(queue) for queue, entries in self._queues.items() if entries
        }
        self._turns = list(self._turn_of.values())
        heapify(self._turns)


def _queue_of(entry: Entry) -> _OwnerQueue:
    _, number, group = entry
    return (group[number].priority, group[number].owner)
