"""What is held back from others: for a head with a reservation, or for one who has waited too long.

Two kinds, one question: how much may this workload draw on in that bin?
"""

from collections.abc import Callable, Sequence, Set
from functools import cached_property

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.resources import Resources
from scheduler.engine.services import Services
from scheduler.engine.snapshot import Snapshot, Workload

FOREVER_MS = 2**62
DOUBLES_AFTER = 12  # times reserve_after_s
AT_ONCE_S = 3600  # what counts as reserve_after_s there, where it says at once
MOST_DOUBLINGS = 30

End = tuple[int, Where, Resources]  # (until when, bins with replicas, request of one replica)


def ends_of(snapshot: Snapshot, capacity: Capacity, gone: Set[str]) -> list[End]:
    """Who holds what until when, of those with a time limit and not `gone`."""
    return [
        (running.ends_ms, capacity.bins_of(running.placement), running.request)
        for running in snapshot.running
        if running.ends_ms is not None and running.id not in gone
    ]


class Hold:
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
        holder: Workload,
        value: int,
        *,
        services: Services,
        ends: Callable[[], list[End]],
    ) -> None:
        """`ends` tells who holds what until when at the latest, in this cycle's state."""
        self.holder, self.value = holder, value
        self._snapshot, self._capacity = snapshot, capacity
        self._services, self._ends = services, ends

    def binds(self, workload: Workload, value: int) -> bool:
        if workload is self.holder or value > self.value:
            return False
        at_ms = self._where[1]
        return at_ms == FOREVER_MS or _runs_after(at_ms, workload, self._snapshot.now_ms)

    def usable(self, at: int) -> Resources:
        free, held = self._capacity.free[at], self._where[0].get(at)
        return free if held is None else free.minus_at_most(held)

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
        known = {each.workload_id: each for each in self._snapshot.held_for}.get(self.holder.id)
        held_s = 0 if known is None else known.held_ms(now_ms) // 1000
        doublings = held_s // (DOUBLES_AFTER * (policy.reserve_after_s or AT_ONCE_S))
        times = 2 ** min(doublings, MOST_DOUBLINGS)
        rooms = self._services.rooms(self.holder.priority)
        return _soonest(
            self._capacity, self.holder, rooms, self._ends(), times=times, now_ms=now_ms
        )


def _runs_after(at_ms: int, workload: Workload, now_ms: int) -> bool:
    """Whether it might still run then if it started now."""
    return workload.limit_s is None or now_ms + workload.limit_s * 1000 > at_ms


def _soonest(
    capacity: Capacity,
    holder: Workload,
    rooms: Sequence[Resources],
    ends: list[End],
    *,
    times: int,
    now_ms: int,
) -> tuple[dict[int, Resources], int]:
    """How much of which bins, that have `rooms` at most, to hold for all of the holder's replicas,
    so many times over unless time limits tell when once will be free; and when that is (FOREVER_MS:
    they do not)."""
    request, replicas = holder.request, holder.replicas
    by_bin = _by_bin(ends)
    bins = list(capacity.eligible(holder.selector))

    def when(at: int, want: Resources) -> tuple[int, int]:
        return _when(want, capacity.free[at], by_bin.get(at, []))

    want = request if len(bins) > 1 else request.times(replicas)
    bins.sort(key=lambda at: (*when(at, want), at))
    most = {at: min(request.count_in(rooms[at]), replicas) for at in bins}
    held = _fill(most, replicas)
    at_ms = max((when(at, request.times(n))[0] for at, n in held.items()), default=FOREVER_MS)
    if at_ms == FOREVER_MS or 0 < at_ms <= now_ms:
        held = _fill(most, replicas * times)
    return {at: request.times(count) for at, count in held.items()}, at_ms


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


class Reservation:
    """`easy_backfill`: the blocked head starts at `at_ms` at the latest; others may not delay that.

    EASY backfilling (Lifka 1995; Mu'alem and Feitelson 2001): another workload may start if it
    ends by then, or if it draws only on what the head leaves over then, bin by bin.
    """

    def __init__(
        self,
        now_ms: int,
        capacity: Capacity,
        head: Workload,
        at_ms: int,
        spare: dict[int, Resources],
    ) -> None:
        self.head, self.at_ms, self._now_ms = head, at_ms, now_ms
        self._capacity, self._spare = capacity, spare

    def binds(self, workload: Workload) -> bool:
        """Whether it might still run when the head is to start."""
        return workload is not self.head and _runs_after(self.at_ms, workload, self._now_ms)

    def usable(self, at: int) -> Resources:
        free, spare = self._capacity.free[at], self._spare.get(at)
        return free if spare is None else free.at_most(spare)

    def took(self, where: Where, request: Resources) -> None:
        """A workload that the reservation binds has started there."""
        for at, count in where:
            if at in self._spare:
                self._spare[at] = self._spare[at].minus_at_most(request.times(count))

    @property
    def bins(self) -> Set[int]:
        return self._spare.keys()


def reserve(
    snapshot: Snapshot, capacity: Capacity, head: Workload, ends: list[End]
) -> Reservation | None:
    """The earliest start that the time limits promise the head; None where they promise none.

    `ends` tells who holds what until when at the latest, in this cycle's state.
    """
    request, replicas = head.request, head.replicas
    then = {at: capacity.free[at] for at in capacity.eligible(head.selector)}
    count = sum(request.count_in(room) for room in then.values())
    at_ms: int | None = None
    for ends_ms, where, amount in sorted(ends):
        if at_ms is not None and ends_ms > at_ms:
            break  # whatever ends at the same moment leaves over that much more
        for at, share in where:
            if at in then:
                count -= request.count_in(then[at])
                then[at] = then[at].plus(amount.times(share))
                count += request.count_in(then[at])
        if count >= replicas:
            at_ms = ends_ms
    if at_ms is None:
        return None
    now_ms = snapshot.now_ms
    spare = _spare(request, replicas, then)
    return Reservation(now_ms, capacity, head, max(at_ms, now_ms), spare)


def _spare(request: Resources, replicas: int, then: dict[int, Resources]) -> dict[int, Resources]:
    """What the head leaves over in the bins that it will take: the fullest first, as binpack."""
    spare: dict[int, Resources] = {}
    for at in sorted(then, key=lambda at: (then[at].gpu, then[at].cpu_milli, then[at].ram_mib, at)):
        count = min(request.count_in(then[at]), replicas)
        if count:
            spare[at] = then[at].minus(request.times(count))
            replicas -= count
        if replicas == 0:
            break
    return spare
