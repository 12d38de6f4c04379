"""The reservations of a cycle: for the blocked head of the queue, and for a starved workload.

Each reserves capacity (backfill.py, starvation.py) and, with it, its owner's quota: otherwise the
owner's next workload could take what the first one in turn still lacks.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from scheduler.engine.capacity import Capacity, Usable
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.order import by_name, order_key
from scheduler.engine.reservations.backfill import BackfillReservation, reserve
from scheduler.engine.reservations.ends import End
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.reservations.starvation import StarvationReservation
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import EASY_BACKFILL, STRICT, Snapshot, Workload
from scheduler.engine.waiting_queue import WaitingQueue


class Reservations:
    """`capacity`, `owners`, `services`, `started` and `ends` (who holds what until when at the
    latest) are the board's, and go on as it does."""

    def __init__(
        self,
        snapshot: Snapshot,
        queue: WaitingQueue,
        capacity: Capacity,
        usage: OwnerUsage | None,
        long_running: LongRunning,
        *,
        started: Collection[str],
        ends: Callable[[], list[End]],
    ) -> None:
        self.head: Workload | None = None  # the first who was blocked
        self.starvation: StarvationReservation | None = None
        self.backfill: BackfillReservation | None = None
        self._snapshot, self._capacity, self._usage = snapshot, capacity, usage
        self._long_running, self._started, self._ends = long_running, started, ends
        self._classes = by_name(snapshot.classes)
        self._key = queue.key if usage is None else order_key(snapshot, usage)
        self._refused: list[Workload] = []
        self._starved = _starved(snapshot, queue)
        self._passed: list[Workload] = []  # starved, and nothing can be held for them
        self._gone = (0, 0)  # how often an owner or a service had evicted when these were looked at
        self._hold_for_the_next()

    @property
    def active(self) -> tuple[BackfillReservation | None, StarvationReservation | None]:
        return self.backfill, self.starvation

    def is_reserved_for(self, workload: Workload) -> bool:
        return self.starvation is not None and self.starvation.reserved_for is workload

    # --- What they leave to others ---------------------------------------------------------------

    def usable(self, workload: Workload) -> Usable | None:
        """What it may draw on, by bin; None: whatever is free."""
        backfill, starvation = self.backfill_binding(workload), self.starvation
        if starvation is not None and not starvation.binds(workload, self.value(workload)):
            starvation = None
        if backfill is None:
            return None if starvation is None else starvation.usable
        return backfill.usable if starvation is None else _Both(backfill.usable, starvation.usable)

    def backfill_binding(self, workload: Workload) -> BackfillReservation | None:
        """The head's, if it binds this one."""
        backfill = self.backfill
        if backfill is None or not backfill.binds(workload) or self._goes_first(workload):
            return None
        return backfill

    def _goes_first(self, workload: Workload) -> bool:
        """Whether it is the holder, whose hold binds the head: of two who wait for each other
        neither would ever start, and the holder has waited for longer."""
        if self.backfill is None or self.starvation is None or not self.is_reserved_for(workload):
            return False
        return self.value(self.backfill.head) <= self.starvation.value

    def reserved_quota(self, workload: Workload) -> Resources:
        """How much of its owner's quota is kept for others of theirs."""
        amount = ZERO
        for each in self._others_of_its_owner(workload):
            amount = amount.plus(each.total)
        return amount

    def _others_of_its_owner(self, workload: Workload) -> Iterator[Workload]:
        """Those for whom something is held back. However soon it would end: over their owner's
        quota nothing would be held back for them."""
        if self.backfill is not None and not self._goes_first(workload):
            head = self.backfill.head
            if head is not workload and head.owner == workload.owner:
                yield head
        if self.starvation is not None and self.value(workload) <= self.starvation.value:
            reserved_for = self.starvation.reserved_for
            if reserved_for is not workload and reserved_for.owner == workload.owner:
                yield reserved_for

    def promised_bins(self, workload: Workload) -> frozenset[int]:
        """Bins in which what victims would give back has been promised already: to a head or a
        holder who counts on the ends of those who run there."""
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
        """What is free, but not usable, by node."""
        if usable is None:
            return ()
        bins = {at for backfill in self.active if backfill is not None for at in backfill.bins}
        ids, free = self._capacity.ids, self._capacity.free
        return tuple((ids[at], free[at].minus(usable(at)).at_most(free[at])) for at in sorted(bins))

    def blocker(self, workload: Workload) -> Workload | None:
        """For whom so much is held back that it cannot start."""
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

    # --- Who they are ----------------------------------------------------------------------------

    def refuse(self, workload: Workload) -> None:
        """It does not fit: the first is the head."""
        if self.head is None:
            self.head = workload
            self._reserve_for(workload)
        self._refused.append(workload)

    def update_after_start(self, *, evicted: bool) -> None:
        """Somebody has started, `shrunk`: on victims. Whoever starts, for whom victims may have
        freed more than they had to, or is over a quota by now is kept for no longer."""
        head_left = self.head is not None and self._has_left(self.head)
        hold_left = self.starvation is not None and self._has_left(self.starvation.reserved_for)
        if (
            hold_left
            and self.starvation is not None
            and self.starvation.reserved_for.id not in self._started
        ):
            self._passed.append(self.starvation.reserved_for)
            self.starvation = None
        regained = evicted and self._regained()
        if not (head_left or hold_left or regained):
            return
        if head_left:
            waiting = (each for each in self._refused if not self._has_left(each))
            self.head, self.backfill = min(waiting, key=self._key, default=None), None
        if self.starvation is None or hold_left or regained:
            self._hold_for_the_next()
        if self.head is not None:
            self._reserve_for(self.head)

    def _has_left(self, workload: Workload) -> bool:
        return workload.id in self._started or self._over(workload)

    def _over(self, workload: Workload) -> bool:
        return self._usage is not None and self._usage.over(workload)

    def _regained(self) -> bool:
        """Whether victims have made way for one who would be held for first: their owner's quota
        allows it now, or they were services."""
        gone = (self._usage.shrink_count if self._usage is not None else 0, self._long_running.gone)
        if gone == self._gone:
            return False
        self._gone = gone
        waiting = (each for each in self._passed if each.id not in self._started)
        if all(map(self._is_vain, {each.scheduling_key: each for each in waiting}.values())):
            return False
        then = (
            self._passed
            if self.starvation is None
            else [*self._passed, self.starvation.reserved_for]
        )
        self._starved, self._passed = chain(then, self._starved), []
        return True

    def _hold_for_the_next(self) -> None:
        """One at a time, in the order of `Line.starved`."""
        self.starvation = None
        for reserved_for in self._starved:
            if reserved_for.id in self._started:
                continue
            if self._is_vain(reserved_for):
                self._passed.append(reserved_for)
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

    def _is_vain(self, reserved_for: Workload) -> bool:
        """Whether it could not start, whatever was held for it."""
        return self._over(reserved_for) or not self._long_running.leave_enough_for(reserved_for)

    def _reserve_for(self, head: Workload) -> None:
        """Who is promised a start needs no hold, under which nothing could be backfilled."""
        if self._snapshot.policy.queueing != EASY_BACKFILL:
            return
        self.backfill = reserve(self._snapshot, self._capacity, head, self._ends())
        if self.backfill is not None and self.is_reserved_for(head):
            self.starvation = None

    def value(self, workload: Workload) -> int:
        return self._classes[workload.priority].value


@dataclass(frozen=True, slots=True)
class _Both:
    """What neither of two keepers holds back."""

    one: Usable
    other: Usable

    def __call__(self, at: int) -> Resources:
        return self.one(at).at_most(self.other(at))


def _starved(snapshot: Snapshot, queue: WaitingQueue) -> Iterator[Workload]:
    """Who has waited longer than reserve_after_s; a strict line needs no hold."""
    if snapshot.policy.queueing == STRICT:
        return iter(())
    return queue.starved(snapshot.now_ms - snapshot.policy.reserve_after_s * 1000)
