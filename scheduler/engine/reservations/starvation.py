"""The reservation for a starved workload: one that has waited longer than `reserve_after_s`."""

from collections.abc import Sequence, Set
from functools import cached_property

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.placement.windows import runs_ms
from scheduler.engine.reservations.ends import End, Ends, runs_after
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Snapshot, Workload

FOREVER_MS = 2**62
DOUBLES_AFTER = 12  # times reserve_after_s
AT_ONCE_S = 3600  # replaces a reserve_after_s of 0 there
MOST_DOUBLINGS = 30
END_STEPS = 2  # of the end of an allocation


class StarvationReservation:
    """Capacity that comes free is reserved for the workload `reserved_for` until it fits.

    The reserved bins are those where it will fit soonest, by 1. the earliest moment at which time
    limits, and evictions that it may make itself, have freed enough, 2. the least amount missing
    now, 3. the id. In a bin no more is reserved than services leave there, and in the `barred` bins
    nothing. A workload of the same or a lower priority value may not use the reserved amounts,
    unless its time limit ends it before that earliest moment. A more urgent workload may use them.

    A bin in which the least is missing may be filled by a job that never ends. So if no time limit
    promises an end, the reserved amount doubles, into the next bins, each time that the reservation
    has lasted DOUBLES_AFTER times reserve_after_s. In the end it covers all bins in which the
    workload could ever fit, and only workloads without an end can starve it. The doubling starts no
    sooner, and does not count the waiting time: in an overloaded cluster every workload waits for
    long, so the reservation would grow to the whole cluster, which would then serve by waiting time
    alone (ADR 0013).
    """

    def __init__(
        self,
        snapshot: Snapshot,
        capacity: Capacity,
        reserved_for: Workload,
        value: int,
        *,
        long_running: LongRunning,
        ends: Ends,
        barred: frozenset[int] = frozenset(),
    ) -> None:
        """`value` is the priority value of `reserved_for`."""
        self.reserved_for, self.value, self.barred = reserved_for, value, barred
        records = {each.workload_id: each for each in snapshot.reservation_history}
        self._record = records.get(reserved_for.origin.id)
        self._snapshot, self._capacity = snapshot, capacity
        self._long_running, self._ends = long_running, ends

    def binds(self, workload: Workload, value: int) -> bool:
        """Whether the workload, of this priority value, may not use the reserved amounts."""
        if workload is self.reserved_for or value > self.value:
            return False
        at_ms = self._reserved[1]
        return at_ms == FOREVER_MS or runs_after(at_ms, workload, self._snapshot.now_ms)

    def usable(self, at: int) -> Resources:
        free, reserved = self._capacity.free[at], self._reserved[0].get(at)
        return free if reserved is None else free.minus_at_most(reserved)

    def reserved_in(self, at: int) -> Resources:
        return self._reserved[0].get(at, ZERO)

    def is_older_than(self, workload: Workload) -> bool:
        """Whether it has lasted since before the workload began to wait."""
        since_ms = None if self._record is None else self._record.since_ms
        return since_ms is not None and since_ms < workload.queued_ms

    @property
    def bins(self) -> Set[int]:
        return self._reserved[0].keys()

    @property
    def promised(self) -> bool:
        """Whether it relies on time limits of running workloads; False if all is free already."""
        return 0 < self._reserved[1] < FOREVER_MS

    @cached_property
    def _reserved(self) -> tuple[dict[int, Resources], int]:
        """The reserved amounts by bin, and the moment at which time limits will have freed them.

        Computed on the first question: many a starved workload starts before any question.
        """
        policy, now_ms = self._snapshot.policy, self._snapshot.now_ms
        lasted_s = 0 if self._record is None else self._record.lasted_ms(now_ms) // 1000
        doublings = lasted_s // (DOUBLES_AFTER * (policy.reserve_after_s or AT_ONCE_S))
        copies = 2 ** min(doublings, MOST_DOUBLINGS)
        at_most = self._long_running.free_beside(self.reserved_for.priority)
        bins = [
            at
            for at in self._capacity.eligible(self.reserved_for.selector)
            if at not in self.barred
        ]
        ends = self._ends.for_(self.reserved_for)
        return _soonest(
            self._capacity,
            self.reserved_for,
            bins,
            at_most,
            ends,
            copies=copies,
            now_ms=now_ms,
            lasts_ms=runs_ms(self.reserved_for, policy),
        )


def _soonest(
    capacity: Capacity,
    reserved_for: Workload,
    bins: list[int],
    at_most: Sequence[Resources],
    ends: list[End],
    *,
    copies: int,
    now_ms: int,
    lasts_ms: int,
) -> tuple[dict[int, Resources], int]:
    """The amounts to reserve in these bins, and the moment at which the `ends` will have freed them
    (FOREVER_MS: they promise none).

    `at_most` bounds the amount of each bin. The amounts are enough for all replicas of
    `reserved_for` or, if time limits promise no end, for `copies` times as many.
    """
    request, replicas = reserved_for.request, reserved_for.replicas
    by_bin = _by_bin(ends)
    capacity.budget.spent += 3 * len(capacity.ids) + END_STEPS * len(ends)

    def when(at: int, want: Resources) -> tuple[int, int]:
        return _when(want, capacity.free[at], by_bin.get(at, []))

    want = request if len(bins) > 1 else request.times(replicas)
    if capacity.has_windows:  # a window may come before it would end there
        moments = {at: when(at, want)[0] for at in bins}
        bins = [
            at
            for at in bins
            if moments[at] == FOREVER_MS
            or max(moments[at], now_ms) + lasts_ms <= capacity.closes_ms(at)
        ]
    bins.sort(key=lambda at: (*when(at, want), at))
    most = {at: min(request.count_in(at_most[at]), replicas) for at in bins}
    reserved = _fill(most, replicas)
    at_ms = max((when(at, request.times(n))[0] for at, n in reserved.items()), default=FOREVER_MS)
    if at_ms == FOREVER_MS or 0 < at_ms <= now_ms:
        reserved = _fill(most, replicas * copies)
    return {at: request.times(count) for at, count in reserved.items()}, at_ms


def _fill(most: dict[int, int], replicas: int) -> dict[int, int]:
    """Distribute the replicas over the bins in their order, as many in each as it takes."""
    filled = {}
    for at, count in most.items():
        if count and replicas > 0:
            filled[at] = min(count, replicas)
            replicas -= count
    return filled


def _when(want: Resources, free: Resources, ends: list[tuple[int, Resources]]) -> tuple[int, int]:
    """The moment at which a bin's time limits will have freed `want`, and the part of it that is
    missing now (in millionths of `want`, the worst resource)."""
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
