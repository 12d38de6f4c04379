"""The reservation of a blocked head of the queue under `easy_backfill`."""

from collections.abc import Mapping, Set

from scheduler.engine.placement.capacity import Capacity, Usable, Where
from scheduler.engine.placement.windows import runs_ms
from scheduler.engine.preemption.exemption import could_be_evicted
from scheduler.engine.reservations.ends import End, Ends, runs_after
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import PriorityClass, Snapshot, Workload

END_STEPS = 2  # of the end of an allocation


class Promise:
    """The head starts at `at_ms` at the latest, if no other workload uses more than `spare` of the
    bins that it will take then."""

    def __init__(self, capacity: Capacity, at_ms: int, spare: dict[int, Resources]) -> None:
        self.at_ms, self._capacity, self._spare = at_ms, capacity, spare

    def usable(self, at: int) -> Resources:
        free, spare = self._capacity.free[at], self._spare.get(at)
        return free if spare is None else free.at_most(spare)

    def record_start(self, where: Where, request: Resources) -> None:
        for at, count in where:
            if at in self._spare:
                self._spare[at] = self._spare[at].minus_at_most(request.times(count))

    @property
    def bins(self) -> Set[int]:
        return self._spare.keys()


class BackfillReservation:
    """Under `easy_backfill` no other workload may delay the blocked head.

    EASY backfilling (Lifka 1995; Mu'alem and Feitelson 2001): another workload may start if it ends
    before the promised moment, or if it uses, in each bin, only what the head leaves over then.

    The promise that counts is the sooner one: a head that may evict need not wait for the time
    limits of its victims. For a workload that the head could evict at that moment the promise by
    time limits alone counts, as it cannot delay the sooner one.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        classes: Mapping[str, PriorityClass],
        head: Workload,
        by_limits: Promise | None,
        sooner: Promise | None,
    ) -> None:
        self.head, self.by_limits, self._sooner = head, by_limits, sooner
        self._snapshot, self._classes = snapshot, classes

    def binding(self, workload: Workload) -> Promise | None:
        """The promise that the workload, started now, might break."""
        if workload is self.head:
            return None
        promise = self._sooner
        if promise is None or self._could_evict(workload, promise.at_ms):
            promise = self.by_limits
        if promise is None or not runs_after(promise.at_ms, workload, self._snapshot.now_ms):
            return None
        return promise

    def _could_evict(self, workload: Workload, at_ms: int) -> bool:
        """Whether the head could evict the workload then, if it started now."""
        its, policy = self._classes[workload.priority], self._snapshot.policy
        exempt_ms = policy.preempt_exempt_s * 1000
        return (
            could_be_evicted(workload, its, policy)
            and its.value < self._classes[self.head.priority].value
            and self.head.queued_ms + exempt_ms <= at_ms
        )

    def usable(self, workload: Workload) -> Usable | None:
        promise = self.binding(workload)
        return None if promise is None else promise.usable

    def record_start(self, workload: Workload, where: Where) -> None:
        """Subtract the start of a workload from the spare amounts, where it still runs then."""
        now_ms, by_limits, sooner = self._snapshot.now_ms, self.by_limits, self._sooner
        if by_limits is not None and runs_after(by_limits.at_ms, workload, now_ms):
            by_limits.record_start(where, workload.request)
        if sooner is not None and self.binding(workload) is sooner:
            sooner.record_start(where, workload.request)

    @property
    def bins(self) -> Set[int]:
        promises = (self.by_limits, self._sooner)
        return {at for promise in promises if promise is not None for at in promise.bins}


def reserve(
    snapshot: Snapshot,
    capacity: Capacity,
    classes: Mapping[str, PriorityClass],
    head: Workload,
    ends: Ends,
) -> BackfillReservation | None:
    """A reservation at the earliest moment at which the head can start, by time limits and by what
    it may evict; None if neither promises such a moment."""
    now_ms = snapshot.now_ms
    lasts_ms = runs_ms(head, snapshot.policy)
    by_limits = _promise(capacity, head, ends.by_limits(), now_ms, lasts_ms)
    sooner = None
    if ends.may_evict(head):
        sooner = _promise(capacity, head, ends.for_(head), now_ms, lasts_ms)
        if sooner is not None and by_limits is not None and sooner.at_ms >= by_limits.at_ms:
            sooner = None
    if by_limits is None and sooner is None:
        return None
    return BackfillReservation(snapshot, classes, head, by_limits, sooner)


def _promise(
    capacity: Capacity, head: Workload, ends: list[End], now_ms: int, lasts_ms: int
) -> Promise | None:
    """The earliest moment at which the head can start if these are the ends of allocations, and run
    for so long before any window of its nodes."""
    request, replicas = head.request, head.replicas
    then = {at: capacity.free[at] for at in capacity.eligible(head.selector)}
    count = sum(request.count_in(free) for free in then.values())
    at_ms: int | None = None
    capacity.budget.spent += 2 * len(then) + END_STEPS * len(ends)
    for ends_ms, where, amount in sorted(ends):
        if at_ms is not None and ends_ms > at_ms:
            break  # ends at the same moment add to the spare amounts, later ones do not
        for at, share in where:
            if at in then:
                count -= request.count_in(then[at])
                then[at] = then[at].plus(amount.times(share))
                count += request.count_in(then[at])
        if count >= replicas:
            until_ms = max(ends_ms, now_ms) + lasts_ms
            if not capacity.has_windows or _fit_until(until_ms, capacity, head, then):
                at_ms = ends_ms
    if at_ms is None:
        return None
    if capacity.has_windows:
        until_ms = max(at_ms, now_ms) + lasts_ms
        then = {at: free for at, free in then.items() if capacity.closes_ms(at) >= until_ms}
    return Promise(capacity, max(at_ms, now_ms), _spare(request, replicas, then))


def _fit_until(
    until_ms: int, capacity: Capacity, head: Workload, then: Mapping[int, Resources]
) -> bool:
    """Whether the bins that no window closes before take all replicas."""
    left = (free for at, free in then.items() if capacity.closes_ms(at) >= until_ms)
    return sum(head.request.count_in(free) for free in left) >= head.replicas


def _spare(request: Resources, replicas: int, then: dict[int, Resources]) -> dict[int, Resources]:
    """The amounts left over in the bins that the head will take: the fullest first, as binpack."""
    spare: dict[int, Resources] = {}
    for at in sorted(then, key=lambda at: (then[at].gpu, then[at].cpu_milli, then[at].ram_mib, at)):
        count = min(request.count_in(then[at]), replicas)
        if count:
            spare[at] = then[at].minus(request.times(count))
            replicas -= count
        if replicas == 0:
            break
    return spare
