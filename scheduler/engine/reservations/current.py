"""The reservations of a cycle: for the blocked head of the queue, for starved workloads, and for
preemptors that wait for time limits.

Each reserves capacity (backfill.py, starved.py, delays.py) and as much of its owner's quota.
Otherwise the owner's next workload could use up the quota that the reservation's workload needs to
start.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from itertools import chain

from scheduler.engine.placement.capacity import Capacity, Usable
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.order import order_key
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.reservations.backfill import BackfillReservation, Promise, reserve
from scheduler.engine.reservations.delays import Delays, Left
from scheduler.engine.reservations.ends import Ends
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.reservations.starvation import StarvationReservation
from scheduler.engine.reservations.starved import StarvedWorkloads
from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import EASY_BACKFILL, STRICT, PriorityClass, Snapshot, Workload

BINDING_STEPS = 1  # of asking whether a reservation binds a workload


class Reservations:
    """At most one reservation for a head, and those for starved workloads, updated with every start
    of the cycle.

    `capacity`, `usage`, `long_running`, `started` (ids), `ends` and `delays` belong to the cycle's
    state, and change with it.
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
        ends: Ends,
        delays: Delays | None,
    ) -> None:
        self.delays = delays
        self._seen_promises: tuple[object, ...] = ()  # those that _usable counts
        self._waiting: set[str] = set()  # ids of those that are to wait for time limits
        self.head: Workload | None = None  # the first blocked workload
        self.backfill: BackfillReservation | None = None
        self._snapshot, self._capacity, self._usage = snapshot, capacity, usage
        self._started, self._ends, self._classes = started, ends, classes
        self._long_running = long_running
        self._key = queue.key if usage is None else order_key(snapshot, usage)
        self._refused: list[Workload] = []
        self.starvations: tuple[StarvationReservation, ...] = ()
        # By id, the bins left when each got its reservation (see StarvedWorkloads).
        self.left_to: Mapping[str | None, frozenset[int]] = {}
        self._starved: StarvedWorkloads | None = None
        # By workload, answers that stay until any reservation changes.
        self._usable: dict[str, Usable | None] = {}
        self._promised: dict[str, frozenset[int]] = {}
        if snapshot.policy.queueing == STRICT:  # a strict queue needs no reservation
            return
        starved = queue.starved(snapshot.now_ms - snapshot.policy.reserve_after_s * 1000)
        first = next(starved, None)
        if first is not None:
            self._starved = StarvedWorkloads(
                snapshot,
                capacity,
                chain([first], starved),
                value=self.value,
                usage=usage,
                long_running=long_running,
                started=started,
                ends=ends,
            )
            self.starvations, self.left_to = self._starved.reservations, self._starved.left_to

    def is_reserved_for(self, workload: Workload) -> bool:
        return self._of(workload) is not None

    def _of(self, workload: Workload) -> StarvationReservation | None:
        return next((each for each in self.starvations if each.reserved_for is workload), None)

    # --- What the reservations leave to other workloads ------------------------------------------

    def usable(self, workload: Workload) -> Usable | None:
        """The amount of a bin that the workload may use; None if it may use all that is free."""
        delays = self.delays
        if self.backfill is None and len(self.starvations) < 2 and not (delays and delays.promises):
            for only in self.starvations:  # most often there is no other reservation
                return only.usable if only.binds(workload, self.value(workload)) else None
            return None
        if delays is not None and delays.promises is not self._seen_promises:
            self._seen_promises = delays.promises
            self._forget()
        if workload.id not in self._usable:
            binding = self._binding(workload)
            self._capacity.budget.spent += BINDING_STEPS * len(self.starvations)
            if len(binding) > 1:
                self._usable[workload.id] = _Least(self._capacity, binding)
            else:
                self._usable[workload.id] = binding[0].usable if binding else None
        return self._usable[workload.id]

    def _binding(self, workload: Workload) -> list[Promise | StarvationReservation | Left]:
        """What of the reservations binds this workload: the head's first, then in their order."""
        promise = self._promise_binding(workload)
        found: list[Promise | StarvationReservation | Left] = [] if promise is None else [promise]
        found += self._starvations_binding(workload)
        delays, value = self.delays, self.value(workload)
        if delays is not None and (left := delays.binding(workload, value)) is not None:
            found.append(left)
        return found

    def _promise_binding(self, workload: Workload) -> Promise | None:
        if self.backfill is None or self._precedes_head(self._of(workload)):
            return None
        return self.backfill.binding(workload)

    def _starvations_binding(self, workload: Workload) -> Iterator[StarvationReservation]:
        """Of starved workloads only those before this one, if it is one itself."""
        value = self.value(workload)
        for each in self._counting():
            if each.reserved_for is workload:
                return
            if each.binds(workload, value) and not self._is_preceded(each, workload):
                yield each

    def _counting(self) -> Iterator[StarvationReservation]:
        """Those of starved workloads without that of a head with a promised start, under which no
        other workload could be backfilled."""
        head = None
        if self.backfill is not None and self.backfill.by_limits is not None:
            head = self.backfill.head
        return (each for each in self.starvations if each.reserved_for is not head)

    def _precedes_head(self, starvation: StarvationReservation | None) -> bool:
        """Whether this starvation reservation counts before the promise to the head.

        It does if it is older than the head's wait: then the head was never promised anything
        before. Otherwise the promise counts, and no longer wait breaks it. As the workloads that
        have waited before a reservation began are finite in number, a starved workload waits for
        these only, and not for each new one that is ahead of it in the scheduling order.
        """
        if self.backfill is None or starvation is None:
            return False
        head = self.backfill.head
        return self.value(head) <= starvation.value and starvation.is_older_than(head)

    def _is_preceded(self, starvation: StarvationReservation, workload: Workload) -> bool:
        """Whether the workload is the head, and its promise counts before this reservation. The two
        never bind each other: neither could ever start."""
        if self.backfill is None or workload is not self.backfill.head:
            return False
        return not self._precedes_head(starvation)

    def reserved_quota(self, workload: Workload) -> Resources:
        """The part of its owner's quota that is reserved for other workloads of the owner."""
        amount = ZERO
        for each in self._others_of_its_owner(workload):
            if each.variant_of is None or each.variant_of is not workload.variant_of:
                amount = amount.plus(each.total)
        return amount

    def _others_of_its_owner(self, workload: Workload) -> Iterator[Workload]:
        """The other workloads of the same owner that have a reservation before this one.

        A time limit that ends this workload early makes no difference here: while it ran, the owner
        would be over the quota, and a workload over its quota loses its reservation.
        """
        if self.backfill is not None and not self._precedes_head(self._of(workload)):
            head = self.backfill.head
            if head is not workload and head.owner == workload.owner:
                yield head
        delays, value = self.delays, self.value(workload)
        if delays is not None and (left := delays.binding(workload, value)) is not None:
            delayed = (each.reserved_for for each in delays.binding_promises(left))
            yield from (each for each in delayed if each.owner == workload.owner)
        for each in self._counting():
            if each.reserved_for is workload:
                return
            if (
                each.reserved_for.owner == workload.owner
                and (self.backfill is None or each.reserved_for is not self.backfill.head)
                and self.value(workload) <= each.value
                and not self._is_preceded(each, workload)
            ):
                yield each.reserved_for

    def promised_bins(self, workload: Workload) -> frozenset[int]:
        """Bins in which amounts freed by victims are promised already: to a reservation that binds
        this workload and relies on the ends of workloads there."""
        if self.backfill is None and not self.starvations:
            return frozenset()
        if workload.id not in self._promised:
            self._promised[workload.id] = self._promised_bins(workload)
        return self._promised[workload.id]

    def _promised_bins(self, workload: Workload) -> frozenset[int]:
        self._capacity.budget.spent += BINDING_STEPS * len(self.starvations)
        bins: set[int] = set()
        if (promise := self._promise_binding(workload)) is not None:
            bins |= promise.bins
        for starvation in self._starvations_binding(workload):
            if starvation.promised:
                bins |= starvation.bins
        return frozenset(bins)

    def withheld(self, usable: Usable | None) -> tuple[tuple[str | None, Resources], ...]:
        """The free but unusable amounts of the reserved bins, by node."""
        if usable is None:
            return ()
        bins = {at for each in self._counting() for at in each.bins}
        if self.backfill is not None:
            bins |= self.backfill.bins
        if self.delays is not None:
            bins |= self.delays.bins
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
        binding = self._binding(workload)
        alone = (each for each in binding if not self._fits(workload, each.usable))
        decisive = next(alone, binding[-1])
        return self.head if isinstance(decisive, Promise) else decisive.reserved_for

    def _fits(self, workload: Workload, usable: Usable) -> bool:
        request, replicas = workload.request, workload.replicas
        return self._capacity.place(request, replicas, workload.selector, usable) is not None

    def soonest_bins(self, workload: Workload, barred: frozenset[int]) -> Set[int]:
        """The bins that would be reserved for a waiting workload, had it waited for long: those
        in which it will fit soonest. None where its owner's quota gates it."""
        usage = self._usage
        if usage is not None and usage.over(workload, self.reserved_quota(workload)):
            return frozenset()
        return StarvationReservation(
            self._snapshot,
            self._capacity,
            workload,
            self.value(workload),
            long_running=self._long_running,
            ends=self._ends,
            barred=barred,
        ).bins

    # --- Changes during the cycle ----------------------------------------------------------------

    def refuse(self, workload: Workload) -> None:
        """Note that a workload does not fit. The first such workload is the head."""
        waited = self.delays is not None and self.forget_promise(workload)
        if self.head is None or (waited and workload is self.head):
            self.head = workload
            self._reserve_for_head(workload)
        if not waited:
            self._refused.append(workload)

    def has_lost_promise(self, workload: Workload) -> bool:
        """Whether it was to wait for time limits, and another workload has taken its place."""
        has_promise = self.delays is not None and self.delays.has(workload)
        return workload.id in self._waiting and not has_promise

    def forget_promise(self, workload: Workload) -> bool:
        """Whether it was to wait for time limits. It no longer is."""
        if self.delays is not None:
            self.delays.forget(workload)
        if workload.id not in self._waiting:
            return False
        self._waiting.remove(workload.id)
        return True

    def wait_for_limits(
        self, workload: Workload, deadline_ms: int, short: Resources = ZERO
    ) -> bool:
        """Promise the workload its place instead of a preemption, where time limits allow that by
        the deadline; then it is refused, and True. `short`: what its owner's quota lacks."""
        promise, starvations = (
            self._promise_binding(workload),
            tuple(self._starvations_binding(workload)),
        )

        def claim(at: int) -> Resources:
            return add_up(each.reserved_in(at) for each in starvations)

        if self.delays is None:
            return False
        made = self.delays.promise(
            workload,
            self.value(workload),
            deadline_ms,
            claim=claim,
            barred=() if promise is None else promise.bins,
            short=short,
        )
        if made is None:
            return False
        if workload.id not in self._waiting:
            self._waiting.add(workload.id)
            self._refused.append(workload)
        if self.head is None:
            self.head = workload
        return True

    def update_after_start(self, *, evicted: bool) -> None:
        """Update the reservations after a start; `evicted` says that it had victims.

        A reservation ends when its workload has started or is over its quota by now. An eviction
        may also let a workload of an earlier turn get a reservation for starvation.
        """
        changed = False
        if self._starved is not None:
            changed = self._starved.update(evicted=evicted)
            self.starvations = self._starved.reservations
        if changed:
            self._forget()
        if head_left := self.head is not None and self._has_left(self.head):
            self._capacity.budget.spent += len(self._refused)
            waiting = (each for each in self._refused if not self._has_left(each))
            self.head, self.backfill = min(waiting, key=self._key, default=None), None
            self._forget()
        if self.head is not None and (head_left or changed):
            self._reserve_for_head(self.head)

    def _has_left(self, workload: Workload) -> bool:
        if workload.id in self._started:
            return True
        return self._usage is not None and self._usage.over(workload)

    def _reserve_for_head(self, head: Workload) -> None:
        if self.delays is not None and self.delays.has(head):
            return
        if self._snapshot.policy.queueing == EASY_BACKFILL:
            self.backfill = reserve(self._snapshot, self._capacity, self._classes, head, self._ends)
            self._forget()

    def _forget(self) -> None:
        self._usable.clear()
        self._promised.clear()

    def value(self, workload: Workload) -> int:
        return self._classes[workload.priority].value


class _Least:
    """The amount that all of several reservations leave."""

    def __init__(
        self, capacity: Capacity, reservations: Iterable[Promise | StarvationReservation | Left]
    ) -> None:
        self._capacity = capacity
        self._usable: dict[int, list[Usable]] = {}
        for each in reservations:
            for at in each.bins:
                self._usable.setdefault(at, []).append(each.usable)
            capacity.budget.spent += len(each.bins) // 4

    def __call__(self, at: int) -> Resources:
        least = self._capacity.free[at]
        for usable in self._usable.get(at, ()):
            least = least.at_most(usable(at))
        return least
