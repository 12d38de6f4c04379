"""The reservation of a blocked head of the queue under `easy_backfill`."""

from collections.abc import Set

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.reservations.ends import End, runs_after
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot, Workload

END_STEPS = 2  # of the end of an allocation


class BackfillReservation:
    """Under `easy_backfill` the blocked head starts at `at_ms` at the latest, and no other workload
    may delay that.

    EASY backfilling (Lifka 1995; Mu'alem and Feitelson 2001): another workload may start if it ends
    by `at_ms`, or if it uses, in each bin, only `spare`: the amount left over by the head then.
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
        """Whether the workload, started now, might still run when the head is to start."""
        return workload is not self.head and runs_after(self.at_ms, workload, self._now_ms)

    def usable(self, at: int) -> Resources:
        free, spare = self._capacity.free[at], self._spare.get(at)
        return free if spare is None else free.at_most(spare)

    def record_start(self, where: Where, request: Resources) -> None:
        """Subtract the start of a workload that the reservation binds from the spare amounts."""
        for at, count in where:
            if at in self._spare:
                self._spare[at] = self._spare[at].minus_at_most(request.times(count))

    @property
    def bins(self) -> Set[int]:
        return self._spare.keys()


def reserve(
    snapshot: Snapshot, capacity: Capacity, head: Workload, ends: list[End]
) -> BackfillReservation | None:
    """A reservation at the earliest moment at which, by the time limits, the head can start; None
    if the time limits promise no such moment.

    `ends` are the latest ends of allocations in this cycle's state.
    """
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
            at_ms = ends_ms
    if at_ms is None:
        return None
    now_ms = snapshot.now_ms
    spare = _spare(request, replicas, then)
    return BackfillReservation(now_ms, capacity, head, max(at_ms, now_ms), spare)


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
