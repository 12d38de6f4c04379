"""The reservations for starved workloads: one for each set of bins that such workloads compete for.

The first starved workload gets one. A later one gets one too where it could run in bins in which
none before it could: there it delays none of these, and needs not wait for what they wait for. In
the bins that both could use only the first one's reservation counts. So each starved workload is
first in its bins once those before it have started, and none waits for a workload that waits for
other bins (ADR 0028).
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.reservations.ends import Ends
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.reservations.starvation import StarvationReservation
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Labels, Snapshot, Workload

MOST_RESERVATIONS = 16
MOST_LOOKED_AT = 1000  # starved workloads
LOOK_STEPS = 2  # of a workload at which it looks


class StarvedWorkloads:
    """The starved workloads of one cycle, and their reservations.

    `starved` are in the order of WaitingQueue.starved; `usage`, `long_running` and `started` belong
    to the cycle's state, and change with it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        capacity: Capacity,
        starved: Iterator[Workload],
        *,
        value: Callable[[Workload], int],
        usage: OwnerUsage | None,
        long_running: LongRunning,
        started: Collection[str],
        ends: Ends,
    ) -> None:
        self.reservations: tuple[StarvationReservation, ...] = ()
        # By id, the bins that were left when it got its reservation; None: those left to further
        # ones. At any time of the cycle.
        self.left_to: dict[str | None, frozenset[int]] = {}
        self._snapshot, self._capacity, self._value = snapshot, capacity, value
        self._usage, self._long_running, self._ends = usage, long_running, ends
        self._started = started
        self._starved = starved
        self._looked_at: list[Workload] = []
        self._seen = (-1, -1)  # usage.shrink_count, long_running.evictions
        self._open = frozenset(capacity.eligible(()))
        self._matching: dict[Labels, frozenset[int]] = {}
        self._by_room: dict[str, dict[Resources, frozenset[int]]] = {}  # by class: its bins
        self.renew()

    def update(self, *, evicted: bool) -> bool:
        """Renew the reservations after a start, if one of theirs has left, or if the eviction may
        let one have a reservation that could not start before; whether any has changed."""
        left = any(self._has_left(each.reserved_for) for each in self.reservations)
        returned = evicted and bool(self._looked_at) and self._changes() != self._seen
        if not left and not returned:
            return False
        before = self.reservations
        self.renew()
        return before != self.reservations

    def renew(self) -> None:
        """Give the reservations anew, in order. One that stays as it is keeps its amounts."""
        if (seen := self._changes()) != self._seen:
            self._seen = seen
            self._by_room.clear()
        known = {each.reserved_for.id: each for each in self.reservations}
        found: list[StarvationReservation] = []
        claimed: frozenset[int] = frozenset()
        without: set[str] = set()  # scheduling keys: no bins are left for them
        owned: dict[str, Resources] = {}  # by owner, what is reserved
        reserved_for: set[str] = set()  # ids: of its variants one gets a reservation
        swept: dict[str, int] = {}  # by sweep, for how many members something is reserved
        number = 0
        for workload in self._in_order():
            key = workload.scheduling_key
            if claimed >= self._open or len(found) >= MOST_RESERVATIONS:
                break
            if workload.sweep and self._is_swept(workload, swept):
                continue  # however many they are, they keep nothing from those behind them
            if number >= MOST_LOOKED_AT:
                break
            number += 1
            self._capacity.budget.spent += LOOK_STEPS
            if workload.variant_of is not None and workload.variant_of.id in reserved_for:
                continue
            if key in without or self._could_not_start(workload, owned.get(workload.owner, ZERO)):
                continue
            bins = self._bins_for(workload)
            if not self._have_room(bins - claimed, workload):
                without.add(key)
                continue
            reservation = known.get(workload.id)
            if reservation is None or reservation.barred != claimed:
                reservation = StarvationReservation(
                    self._snapshot,
                    self._capacity,
                    workload,
                    self._value(workload),
                    long_running=self._long_running,
                    ends=self._ends,
                    barred=claimed,
                )
            self._leave(workload.origin.id, claimed)
            reserved_for.add(workload.origin.id)
            found.append(reservation)
            owned[workload.owner] = owned.get(workload.owner, ZERO).plus(workload.total)
            swept[workload.sweep] = swept.get(workload.sweep, 0) + 1
            claimed |= bins
            without.add(key)
        self.reservations = tuple(found)
        self._leave(None, claimed)

    def _leave(self, id_: str | None, claimed: frozenset[int]) -> None:
        self.left_to[id_] = self.left_to.get(id_, frozenset()) | (self._open - claimed)

    def _in_order(self) -> Iterator[Workload]:
        """Those that have not started, the ones looked at before first."""
        self._looked_at = [each for each in self._looked_at if each.id not in self._started]
        yield from tuple(self._looked_at)
        for workload in self._starved:
            if workload.id not in self._started:
                self._looked_at.append(workload)
                yield workload

    def _has_left(self, workload: Workload) -> bool:
        return workload.id in self._started or self._over(workload)

    def _over(self, workload: Workload, besides: Resources = ZERO) -> bool:
        return self._usage is not None and self._usage.over(workload, besides)

    def _is_swept(self, workload: Workload, swept: Mapping[str, int]) -> bool:
        """Whether the workload's sweep allows no more members than those that run, and those for
        which something is reserved."""
        ahead = swept.get(workload.sweep, 0)
        return self._usage is not None and self._usage.sweeps.is_full(workload, ahead)

    def _could_not_start(self, workload: Workload, besides: Resources) -> bool:
        """Whether it could not start, however much was reserved for it."""
        if self._over(workload, besides):
            return True
        return not self._long_running.leave_enough_for(workload)

    def _changes(self) -> tuple[int, int]:
        """Counts what may let a workload start that could not before."""
        shrink_count = self._usage.shrink_count if self._usage is not None else 0
        return (shrink_count, self._long_running.evictions)

    # --- Bins ------------------------------------------------------------------------------------

    def _bins_for(self, workload: Workload) -> frozenset[int]:
        """The open bins in which a replica could ever run, beside the services."""
        by_room = self._by_room.get(workload.priority)
        if by_room is None:
            by_room = self._by_room[workload.priority] = self._grouped(workload.priority)
        self._capacity.budget.spent += len(by_room) + len(self._open) // 8
        bins = frozenset[int]().union(
            *(each for room, each in by_room.items() if workload.request.count_in(room))
        )
        if not workload.selector:
            return bins
        if workload.selector not in self._matching:
            matching = frozenset(self._capacity.eligible(workload.selector))
            self._matching[workload.selector] = matching
        return bins & self._matching[workload.selector]

    def _grouped(self, priority: str) -> dict[Resources, frozenset[int]]:
        """The open bins by the amount that services leave in them."""
        self._capacity.budget.spent += len(self._open) // 4
        free, by_room = self._long_running.free_beside(priority), dict[Resources, list[int]]()
        for at in self._open:
            by_room.setdefault(free[at], []).append(at)
        return {room: frozenset(bins) for room, bins in by_room.items()}

    def _have_room(self, bins: frozenset[int], workload: Workload) -> bool:
        """Whether the bins take all replicas, beside the services."""
        if workload.replicas == 1:
            return bool(bins)
        free, missing = self._long_running.free_beside(workload.priority), workload.replicas
        for at in bins:
            missing -= workload.request.count_in(free[at])
            if missing <= 0:
                return True
        return False
