"""What is held back from others: for a head with a reservation, or for one who has waited too long.

Two kinds, one question: how much may this workload draw on in that bin?
"""

from collections.abc import Set

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot, Workload

FOREVER_MS = 2**62

End = tuple[int, Where, Resources]  # (until when, bins with replicas, request of one replica)


def ends_of(snapshot: Snapshot, capacity: Capacity, gone: Set[str] = frozenset()) -> list[End]:
    """Who holds what until when, of those with a time limit and not `gone`."""
    return [
        (running.ends_ms, capacity.bins_of(running.placement), running.request)
        for running in snapshot.running
        if running.ends_ms is not None and running.id not in gone
    ]


class Hold:
    """`reserve_after_s`: what comes free is held back for the holder until it fits.

    In the bins where it will fit soonest: 1. the earliest time at which time limits have freed
    enough, 2. the least that is missing now, 3. the id. Nobody of its class or below may draw on
    its share there, unless a time limit ends it before that earliest time, so that it delays
    nothing; a more urgent workload may, and so takes the hold over.
    """

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, holder: Workload, value: int
    ) -> None:
        self.holder, self.value = holder, value
        self._now_ms, self._capacity = snapshot.now_ms, capacity
        self._held, self._at_ms = _soonest(snapshot, capacity, holder)

    def binds(self, workload: Workload, value: int) -> bool:
        if workload is self.holder or value > self.value:
            return False
        return self._at_ms == FOREVER_MS or _runs_after(self._at_ms, workload, self._now_ms)

    def usable(self, at: int) -> Resources:
        free, held = self._capacity.free[at], self._held.get(at)
        return free if held is None else free.minus_at_most(held)

    @property
    def bins(self) -> Set[int]:
        return self._held.keys()


def _runs_after(at_ms: int, workload: Workload, now_ms: int) -> bool:
    """Whether it might still run then if it started now."""
    return workload.limit_s is None or now_ms + workload.limit_s * 1000 > at_ms


def _soonest(
    snapshot: Snapshot, capacity: Capacity, holder: Workload
) -> tuple[dict[int, Resources], int]:
    """How much of which bins to hold for all of the holder's replicas, and when the time limits
    will have freed it (FOREVER_MS: they do not tell)."""
    request, replicas = holder.request, holder.replicas
    ends = _ends_by_bin(snapshot, capacity)
    bins = list(capacity.eligible(holder.selector))

    def rank(at: int) -> tuple[int, int, int]:
        return (*_when(request, capacity.free[at], ends.get(at, [])), at)

    held: dict[int, Resources] = {}
    for at in sorted(bins, key=rank) if len(bins) > 1 else bins:
        count = min(request.count_in(capacity.totals[at]), replicas)
        if count > 0:
            held[at] = request.times(count)
            replicas -= count
        if replicas == 0:
            break
    freed = (_when(held[at], capacity.free[at], ends.get(at, []))[0] for at in held)
    return held, max(freed, default=FOREVER_MS)


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


def _ends_by_bin(snapshot: Snapshot, capacity: Capacity) -> dict[int, list[tuple[int, Resources]]]:
    by_bin: dict[int, list[tuple[int, Resources]]] = {}
    for ends_ms, where, amount in sorted(ends_of(snapshot, capacity)):
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
        return _runs_after(self.at_ms, workload, self._now_ms)

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
