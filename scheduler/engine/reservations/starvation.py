"""What is held back from others: for a head with a reservation, or for one who has waited too long.

Two kinds, one question: how much may this workload draw on in that bin?
"""

from collections.abc import Callable, Sequence, Set
from functools import cached_property

from scheduler.engine.capacity import Capacity
from scheduler.engine.reservations.ends import End, runs_after
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot, Workload

FOREVER_MS = 2**62
DOUBLES_AFTER = 12  # times reserve_after_s
AT_ONCE_S = 3600  # what counts as reserve_after_s there, where it says at once
MOST_DOUBLINGS = 30


class StarvationReservation:
    """`reserve_after_s`: what comes free is held back for the holder until it fits.

    In the bins where it will fit soonest: 1. the earliest time at which time limits have freed
    enough, 2. the least that is missing now, 3. the id; no more in a bin than services leave room
    for there. Nobody of its class or below may draw on its share there, unless a time limit ends it
    before that earliest time, so that it delays nothing; a more urgent workload may, and so takes
    the hold over.

    Where a job runs for ever, the least may be missing and yet never come free. So where no time
    limit promises that it will, what is held doubles, in the next bins, each time that the hold has
    lasted for DOUBLES_AFTER times reserve_after_s: in the end it is in all of them that could ever
    do, where only what never ends can starve it. Not sooner, and not by how long the holder waits:
    where more is asked for than there is, everybody waits for long, and what is held for one would
    be the whole cluster, which then served by waiting time alone (ADR 0013).
    """

    def __init__(
        self,
        snapshot: Snapshot,
        capacity: Capacity,
        reserved_for: Workload,
        value: int,
        *,
        long_running: LongRunning,
        ends: Callable[[], list[End]],
    ) -> None:
        """`ends` tells who holds what until when at the latest, in this cycle's state."""
        self.reserved_for, self.value = reserved_for, value
        self._snapshot, self._capacity = snapshot, capacity
        self._long_running, self._ends = long_running, ends

    def binds(self, workload: Workload, value: int) -> bool:
        if workload is self.reserved_for or value > self.value:
            return False
        at_ms = self._where[1]
        return at_ms == FOREVER_MS or runs_after(at_ms, workload, self._snapshot.now_ms)

    def usable(self, at: int) -> Resources:
        free, reserved = self._capacity.free[at], self._where[0].get(at)
        return free if reserved is None else free.minus_at_most(reserved)

    @property
    def bins(self) -> Set[int]:
        return self._where[0].keys()

    @property
    def promised(self) -> bool:
        """Whether it counts on time limits of others; not if all is free already."""
        return 0 < self._where[1] < FOREVER_MS

    @cached_property
    def _where(self) -> tuple[dict[int, Resources], int]:
        """Found when the first one asks whom it might concern: many holders start before that."""
        policy, now_ms = self._snapshot.policy, self._snapshot.now_ms
        known = {each.workload_id: each for each in self._snapshot.reservation_history}.get(
            self.reserved_for.id
        )
        lasted_s = 0 if known is None else known.lasted_ms(now_ms) // 1000
        doublings = lasted_s // (DOUBLES_AFTER * (policy.reserve_after_s or AT_ONCE_S))
        times = 2 ** min(doublings, MOST_DOUBLINGS)
        rooms = self._long_running.free_beside(self.reserved_for.priority)
        return _soonest(
            self._capacity, self.reserved_for, rooms, self._ends(), times=times, now_ms=now_ms
        )


def _soonest(
    capacity: Capacity,
    reserved_for: Workload,
    rooms: Sequence[Resources],
    ends: list[End],
    *,
    times: int,
    now_ms: int,
) -> tuple[dict[int, Resources], int]:
    """How much of which bins, that have `rooms` at most, to hold for all of the holder's replicas,
    so many times over unless time limits tell when once will be free; and when that is (FOREVER_MS:
    they do not)."""
    request, replicas = reserved_for.request, reserved_for.replicas
    by_bin = _by_bin(ends)
    bins = list(capacity.eligible(reserved_for.selector))

    def when(at: int, want: Resources) -> tuple[int, int]:
        return _when(want, capacity.free[at], by_bin.get(at, []))

    want = request if len(bins) > 1 else request.times(replicas)
    bins.sort(key=lambda at: (*when(at, want), at))
    most = {at: min(request.count_in(rooms[at]), replicas) for at in bins}
    reserved = _fill(most, replicas)
    at_ms = max((when(at, request.times(n))[0] for at, n in reserved.items()), default=FOREVER_MS)
    if at_ms == FOREVER_MS or 0 < at_ms <= now_ms:
        reserved = _fill(most, replicas * times)
    return {at: request.times(count) for at, count in reserved.items()}, at_ms


def _fill(most: dict[int, int], replicas: int) -> dict[int, int]:
    """So many replicas over the bins in their order, as many in each as it takes."""
    filled = {}
    for at, count in most.items():
        if count and replicas > 0:
            filled[at] = min(count, replicas)
            replicas -= count
    return filled


def _when(want: Resources, free: Resources, ends: list[tuple[int, Resources]]) -> tuple[int, int]:
    """When a bin's time limits will have freed `want`, and how much of it is missing now (in
    millionths of `want`, the worst resource)."""
    missing = 0
    for wanted, there in zip(want, free, strict=True):
        if wanted > there:
            missing = max(missing, 1_000_000 * (wanted - there) // wanted)
    if want.fits_in(free):
        return (0, missing)
    for end_ms, amount in ends:
        free = free.plus(amount)
        if want.fits_in(free):
            return (end_ms, missing)
    return (FOREVER_MS, missing)


def _by_bin(ends: list[End]) -> dict[int, list[tuple[int, Resources]]]:
    by_bin: dict[int, list[tuple[int, Resources]]] = {}
    for ends_ms, where, amount in sorted(ends):
        for at, count in where:
            by_bin.setdefault(at, []).append((ends_ms, amount.times(count)))
    return by_bin
