"""The reservations of a cycle: for the blocked head of the queue, and for a starved workload.

Each reserves capacity (backfill.py, starvation.py) and as much of its owner's quota. Otherwise the
owner's next workload could use up the quota that the reservation's workload needs to start.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from scheduler.engine.capacity import Capacity, Usable
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.order import order_key
from scheduler.engine.reservations.backfill import BackfillReservation, reserve
from scheduler.engine.reservations.ends import End
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.reservations.starvation import StarvationReservation
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import EASY_BACKFILL, STRICT, PriorityClass, Snapshot, Workload
from scheduler.engine.waiting_queue import WaitingQueue


class Reservations:
    """At most one reservation of each kind, updated with every start of the cycle.

    `capacity`, `usage`, `long_running`, `started` (ids) and `ends` (the latest ends of allocations)
    belong to the cycle's state, and change with it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        queue: WaitingQueue,
        capacity: Capacity,
        *,
        classes: Mapping[str, PriorityClass],
        usage: OwnerUsage | None,
        long_running: LongRunning,
        started: Collection[str],
        ends: Callable[[], list[End]],
    ) -> None:
        self.head: Workload | None = None  # the first blocked workload
        self.starvation: StarvationReservation | None = None
        self.backfill: BackfillReservation | None = None
        self._snapshot, self._capacity, self._usage = snapshot, capacity, usage
        self._long_running, self._started, self._ends = long_running, started, ends
        self._classes = classes
        self._key = queue.key if usage is None else order_key(snapshot, usage)
        self._refused: list[Workload] = []
        self._starved: Iterator[Workload] = iter(())
        if snapshot.policy.queueing != STRICT:  # a strict queue needs no reservation
            since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
            self._starved = queue.starved(since_ms)
        self._passed_over: list[Workload] = []  # starved, but could not start anyhow
        self._seen = (0, 0)  # usage.shrink_count, long_running.evictions when they were passed over
        self._reserve_for_next_starved()

    def is_reserved_for(self, workload: Workload) -> bool:
        return self.starvation is not None and self.starvation.reserved_for is workload

    # --- What the reservations leave to other workloads ------------------------------------------

    def usable(self, workload: Workload) -> Usable | None:
        """The amount of a bin that the workload may use; None if it may use all that is free."""
        if self.backfill is None and self.starvation is None:
            return None
        backfill, starvation = self.backfill_binding(workload), self.starvation
        if starvation is not None and not starvation.binds(workload, self.value(workload)):
            starvation = None
        if backfill is None:
            return None if starvation is None else starvation.usable
        return backfill.usable if starvation is None else _Both(backfill.usable, starvation.usable)

    def backfill_binding(self, workload: Workload) -> BackfillReservation | None:
        """The head's reservation, if it binds this workload."""
        backfill = self.backfill
        if backfill is None or not backfill.binds(workload) or self._precedes_head(workload):
            return None
        return backfill

    def _precedes_head(self, workload: Workload) -> bool:
        """Whether this is the starved workload, and its reservation binds the head.

        Then the head's reservation does not bind it. Otherwise the two would wait for each other,
        and neither would ever start; the starved workload has waited for longer.
        """
        if self.backfill is None or self.starvation is None or not self.is_reserved_for(workload):
            return False
        return self.value(self.backfill.head) <= self.starvation.value

    def reserved_quota(self, workload: Workload) -> Resources:
        """The part of its owner's quota that is reserved for other workloads of the owner."""
        amount = ZERO
        for each in self._others_of_its_owner(workload):
            amount = amount.plus(each.total)
        return amount

    def _others_of_its_owner(self, workload: Workload) -> Iterator[Workload]:
        """The other workloads of the same owner that have a reservation before this one.

        A time limit that ends this workload early makes no difference here: while it ran, the owner
        would be over the quota, and a workload over its quota loses its reservation.
        """
        if self.backfill is not None and not self._precedes_head(workload):
            head = self.backfill.head
            if head is not workload and head.owner == workload.owner:
                yield head
        if self.starvation is not None and self.value(workload) <= self.starvation.value:
            reserved_for = self.starvation.reserved_for
            if reserved_for is not workload and reserved_for.owner == workload.owner:
                yield reserved_for

    def promised_bins(self, workload: Workload) -> frozenset[int]:
        """Bins in which amounts freed by victims are promised already: to a reservation that binds
        this workload and relies on the ends of workloads there."""
        bins: set[int] = set()
        backfill, starvation = self.backfill_binding(workload), self.starvation
        if backfill is not None:
            bins |= backfill.bins
        if (
            starvation is not None
            and starvation.binds(workload, self.value(workload))
            and starvation.promised
        ):
            bins |= starvation.bins
        return frozenset(bins)

    def withheld(self, usable: Usable | None) -> tuple[tuple[str | None, Resources], ...]:
        """The free but unusable amounts of the reserved bins, by node."""
        if usable is None:
            return ()
        bins = {
            at for each in (self.backfill, self.starvation) if each is not None for at in each.bins
        }
        ids, free = self._capacity.ids, self._capacity.free
        return tuple((ids[at], free[at].minus(usable(at)).at_most(free[at])) for at in sorted(bins))

    def blocker(self, workload: Workload) -> Workload | None:
        """The workload whose reservation keeps this one from starting; None if there is none."""
        usable = self.usable(workload)
        if usable is None or self._fits(workload, usable):
            if self._usage is not None and self._usage.over(
                workload, self.reserved_quota(workload)
            ):
                return next(self._others_of_its_owner(workload), None)
            return None
        backfill = self.backfill_binding(workload)
        if backfill is not None and (
            self.starvation is None or not self._fits(workload, backfill.usable)
        ):
            return backfill.head
        return self.starvation.reserved_for if self.starvation is not None else None

    def _fits(self, workload: Workload, usable: Usable) -> bool:
        request, replicas = workload.request, workload.replicas
        return self._capacity.place(request, replicas, workload.selector, usable) is not None

    # --- Changes during the cycle ----------------------------------------------------------------

    def refuse(self, workload: Workload) -> None:
        """Note that a workload does not fit. The first such workload is the head."""
        if self.head is None:
            self.head = workload
            self._reserve_for_head(workload)
        self._refused.append(workload)

    def update_after_start(self, *, evicted: bool) -> None:
        """Update the reservations after a start; `evicted` says that it had victims.

        A reservation ends when its workload has started or is over its quota by now. An eviction
        may also let a workload of an earlier turn get the reservation for starvation.
        """
        head_left = self.head is not None and self._has_left(self.head)
        starved_left = self.starvation is not None and self._has_left(self.starvation.reserved_for)
        if (
            starved_left
            and self.starvation is not None
            and self.starvation.reserved_for.id not in self._started
        ):
            self._passed_over.append(self.starvation.reserved_for)
            self.starvation = None
        returned = evicted and self._return_passed_over()
        if not (head_left or starved_left or returned):
            return
        if head_left:
            self._capacity.budget.spent += len(self._refused)
            waiting = (each for each in self._refused if not self._has_left(each))
            self.head, self.backfill = min(waiting, key=self._key, default=None), None
        if self.starvation is None or starved_left or returned:
            self._reserve_for_next_starved()
        if self.head is not None:
            self._reserve_for_head(self.head)

    def _has_left(self, workload: Workload) -> bool:
        return workload.id in self._started or self._over(workload)

    def _over(self, workload: Workload) -> bool:
        return self._usage is not None and self._usage.over(workload)

    def _return_passed_over(self) -> bool:
        """Put the passed over workloads back before the other starved ones, if evictions let one of
        them start: its owner's quota allows it now, or the victims were services."""
        shrink_count = self._usage.shrink_count if self._usage is not None else 0
        if (seen := (shrink_count, self._long_running.evictions)) == self._seen:
            return False
        self._seen = seen
        self._capacity.budget.spent += 2 * len(self._passed_over)
        waiting = (each for each in self._passed_over if each.id not in self._started)
        different = {each.scheduling_key: each for each in waiting}.values()
        if all(map(self._could_not_start, different)):
            return False
        again = self._passed_over
        if self.starvation is not None:
            again = [*again, self.starvation.reserved_for]
        self._starved, self._passed_over = chain(again, self._starved), []
        return True

    def _reserve_for_next_starved(self) -> None:
        """Reserve for the first starved workload, by WaitingQueue.starved, that could start."""
        self.starvation = None
        for reserved_for in self._starved:
            if reserved_for.id in self._started:
                continue
            if self._could_not_start(reserved_for):
                self._passed_over.append(reserved_for)
                continue
            self.starvation = StarvationReservation(
                self._snapshot,
                self._capacity,
                reserved_for,
                self.value(reserved_for),
                long_running=self._long_running,
                ends=self._ends,
            )
            return

    def _could_not_start(self, reserved_for: Workload) -> bool:
        """Whether the workload could not start, however much was reserved for it."""
        return self._over(reserved_for) or not self._long_running.leave_enough_for(reserved_for)

    def _reserve_for_head(self, head: Workload) -> None:
        """Reserve for a blocked head under `easy_backfill`.

        A starved head with a promised start loses its starvation reservation, under which no other
        workload could be backfilled.
        """
        if self._snapshot.policy.queueing != EASY_BACKFILL:
            return
        self.backfill = reserve(self._snapshot, self._capacity, head, self._ends())
        if self.backfill is not None and self.is_reserved_for(head):
            self.starvation = None

    def value(self, workload: Workload) -> int:
        return self._classes[workload.priority].value


@dataclass(frozen=True, slots=True)
class _Both:
    """The amount that both of two reservations leave."""

    one: Usable
    other: Usable

    def __call__(self, at: int) -> Resources:
        return self.one(at).at_most(self.other(at))
