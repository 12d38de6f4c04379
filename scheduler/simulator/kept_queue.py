"""A queue that is kept from one moment to the next, instead of being sorted anew each time."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from scheduler.engine.queue.waiting_queue import Entry, WaitingQueue
from scheduler.engine.snapshot import Snapshot, Workload


class KeptQueue(WaitingQueue):
    """The engine's queue, which workloads also enter and leave."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self._length = 0
        self._heads: list[Entry] = []  # sorted
        self._waits: dict[int, list[Workload]] = {value: [] for value in self._values.values()}

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Workload]:
        every = (each for group in self._groups.values() for each in group)
        return iter(sorted(every, key=self.key))

    def heads(self) -> list[Entry]:
        return self._heads.copy()

    def enter(self, workload: Workload) -> None:
        group = self._groups.setdefault(workload.scheduling_key, [])
        head = group[0] if group else None
        insort(group, workload, key=_by_submit)
        self._update_heads(group, head)
        insort(self._waits[self._values[workload.priority]], workload, key=_by_wait)
        self._length += 1
        if workload.variant_of is not None:
            self.variants.setdefault(workload.variant_of.id, []).append(workload)

    def leave(self, workload: Workload) -> None:
        """Also as all of its variants, where it takes whole nodes."""
        for each in self.variants.pop(workload.id, [workload]):
            self._leave(each)

    def _leave(self, workload: Workload) -> None:
        group = self._groups[workload.scheduling_key]
        head = group[0]
        del group[bisect_left(group, _by_submit(workload), key=_by_submit)]
        self._update_heads(group, head)
        if not group:
            del self._groups[workload.scheduling_key]
        waits = self._waits[self._values[workload.priority]]
        del waits[bisect_left(waits, _by_wait(workload), key=_by_wait)]
        self._length -= 1

    def _update_heads(self, group: list[Workload], head: Workload | None) -> None:
        """Replace `head`, the group's first workload before a change, by the present first one."""
        if group and group[0] is head:
            return
        if head is not None:
            del self._heads[bisect_left(self._heads, self.key(head), key=_key)]
        if group:
            insort(self._heads, (self.key(group[0]), 0, group), key=_key)

    def starved(self, since_ms: int) -> Iterator[Workload]:
        for value in sorted(self._waits, reverse=True):
            for workload in self._waits[value]:
                if workload.queued_ms > since_ms:
                    break
                yield workload


def _key(entry: Entry) -> tuple[int, int, int, str]:
    return entry[0]


def _by_submit(workload: Workload) -> tuple[int, str]:
    return (workload.submitted_ms, workload.id)


def _by_wait(workload: Workload) -> tuple[int, str]:
    return (workload.queued_ms, workload.id)
