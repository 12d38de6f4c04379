"""The places that time limits promise to preemptors, which wait for them instead of preempting.

With the policy's `preemption_delay_s` a preemptor evicts nothing where time limits make room for it
soon. It waits while two things are so: 1. now is before its deadline, which is that delay after it
could first have preempted: after it began to wait, and after its victims' exempt times; 2. the
promised moment, computed from time limits as EASY's is (backfill.py), is at or before the deadline.

A promise is made anew at its workload's turn in each cycle, so one that is broken leads to a
preemption at once. Within a cycle no workload of the same or a lower priority value may break it,
unless it ends before the promised moment.
"""

from bisect import bisect_left
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from dataclasses import dataclass, replace
from functools import cached_property

from scheduler.engine.placement.capacity import Capacity, Where
from scheduler.engine.placement.windows import runs_ms
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.reservations.profile import DelayedStart, Profile, Starts
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import PriorityClass, Running, Snapshot, Workload

Claim = Callable[[int], Resources]
"""The amount of a bin that other reservations keep from a workload."""

MOST_PROMISES = 100  # in one cycle: what comes behind so many preempts at once


@dataclass(frozen=True, slots=True)
class Left:
    """What the promises leave of the bins to workloads of this priority value that end by
    `until_ms` (None: they may run for ever); to the one of the id `own`, those before its own.

    Equal ones are interchangeable, and what they give for a bin changes only when the bin does.
    """

    delays: "Delays"
    value: int
    until_ms: int | None
    own: str | None

    def usable(self, at: int) -> Resources:
        return self.delays.left(at, self)

    def is_bound_by(self, promise: DelayedStart) -> bool:
        if self.value > promise.value:
            return False
        return self.until_ms is None or self.until_ms > promise.at_ms

    @property
    def bins(self) -> Set[int]:
        return self.delays.bins

    @property
    def reserved_for(self) -> Workload:
        return next(self.delays.binding_promises(self)).reserved_for

    def of_endless(self) -> "Left":
        """What they leave to one that may run for ever."""
        return replace(self, until_ms=None)


class Delays:
    """The promises of one cycle, in the order of their turns; the state adds its starts and
    evictions."""

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self.promises: tuple[DelayedStart, ...] = ()
        self._by_bin: dict[int, tuple[DelayedStart, ...]] = {}
        self._snapshot, self._capacity, self._budget = snapshot, capacity, capacity.budget
        self._classes, self._profile = classes, Profile(snapshot, capacity)
        self._relied_on: dict[tuple[int, int, bool], set[str]] = {}  # by bin, value, patience
        self._seen = 0  # of capacity.changed

    def of(self, workload: Workload) -> DelayedStart | None:
        return next((each for each in self.promises if each.reserved_for is workload), None)

    def has(self, workload: Workload) -> bool:
        return self.of(workload) is not None

    @property
    def bins(self) -> Set[int]:
        return self._by_bin.keys()

    @property
    def due_ms(self) -> int | None:
        """The next promised moment, or deadline of one that is overdue; None without promises."""
        now_ms = self._snapshot.now_ms
        moments = (p.at_ms if p.at_ms > now_ms else p.deadline_ms for p in self.promises)
        return min(moments, default=None)

    # --- What the promises leave to other workloads ----------------------------------------------

    def binding(self, workload: Workload, value: int) -> Left | None:
        """What the promises that bind this workload leave: None where none does."""
        if not self.promises:
            return None
        self._budget.spent += len(self.promises) // 8
        limit_s, own = workload.limit_s, self.of(workload)
        until_ms = None if limit_s is None else self._snapshot.now_ms + limit_s * 1000
        left = Left(self, value, until_ms, None if own is None else workload.id)
        return left if any(True for _ in self.binding_promises(left)) else None

    def binding_promises(self, left: Left) -> Iterator[DelayedStart]:
        return self._binding(self.promises, left)

    def _binding(self, promises: Iterable[DelayedStart], left: Left) -> Iterator[DelayedStart]:
        for each in promises:
            if each.reserved_for.id == left.own:
                return
            if left.is_bound_by(each):
                yield each

    def left(self, at: int, left: Left) -> Resources:
        if at not in self._by_bin:
            return self._capacity.free[at]
        return self._profile.left(at, self._in_bin(at, left))

    def _in_bin(self, at: int, left: Left) -> Sequence[DelayedStart]:
        if left.own is None:
            return list(self._binding(self._by_bin.get(at, ()), left))
        return [
            each
            for each in self.binding_promises(left)
            if any(number == at for number, _ in each.where)
        ]

    def relied_on(
        self, left: Left, is_candidate: Callable[[str], bool], *, patient: bool
    ) -> frozenset[str]:
        """The ids of the candidates that may not be evicted where the promises leave this, as they
        rely on their ends. `patient`: whether they are those of a patient preemptor."""
        changed = self._capacity.changed
        if stale := set(changed[self._seen :]):
            self._seen, known = len(changed), self._relied_on
            self._relied_on = {key: ids for key, ids in known.items() if key[0] not in stale}
            self._budget.spent += len(known) // 4
        found = set[str]()
        for at in self._by_bin:
            key = (at, left.value, patient)
            if left.own is not None or key not in self._relied_on:
                starts = self._in_bin(at, left)
                relied = self._profile.relied_on(at, starts, is_candidate)
                if left.own is not None:
                    found |= relied
                    continue
                self._relied_on[key] = relied
            found |= self._relied_on[key]
        self._budget.spent += len(self._by_bin) // 4
        return frozenset(found)

    # --- A new promise ---------------------------------------------------------------------------

    def deadline_ms(self, workload: Workload, victims: Iterable[Candidate]) -> int:
        """Until when the workload waits at most, instead of evicting these."""
        policy, began_ms = self._snapshot.policy, workload.queued_ms
        for victim in victims:
            running = self._running[victim.id]
            its = self._classes[running.priority]
            from_ms = evictable_from(running, its, policy, workload.queued_ms)
            began_ms = max(began_ms, from_ms or 0)
        return began_ms + policy.preemption_delay_s * 1000

    @cached_property
    def _running(self) -> dict[str, Running]:
        self._budget.spent += len(self._snapshot.running) // 4
        return {each.id: each for each in self._snapshot.running}

    def promise(
        self,
        workload: Workload,
        value: int,
        deadline_ms: int,
        *,
        claim: Claim,
        barred: Collection[int] = (),
        short: Resources = ZERO,
    ) -> DelayedStart | None:
        """The promise to a workload, if time limits make room for it by the deadline; its older one
        ends. `short` is what its owner's quota lacks. In the `barred` bins it is promised
        nothing."""
        self.forget(workload)
        if len(self.promises) >= MOST_PROMISES:
            return None
        now_ms = self._snapshot.now_ms
        in_quota = (now_ms, None) if short == ZERO else self._when_in_quota(workload.owner, short)
        if deadline_ms <= now_ms or in_quota is None:
            return None
        from_ms, last = in_quota
        left, ends = Left(self, value, None, None), self._profile.bins
        until_ms = deadline_ms + runs_ms(workload, self._snapshot.policy)  # at the latest
        bins = [  # a single replica fits in none that stays as it is
            at
            for at in self._capacity.eligible(workload.selector)
            if at not in barred
            and (workload.replicas > 1 or last is not None or at in ends)
            and self._capacity.closes_ms(at) >= until_ms
        ]
        found = self._earliest(workload, bins, (from_ms, deadline_ms), left, claim)
        if found is None:
            return None
        at_ms, where = found
        if last is None or at_ms > from_ms:
            last = self._last(at_ms, where)
        if last is None:  # it lacks nothing that ends free
            return None
        made = DelayedStart(workload, value, at_ms, deadline_ms, last, where)
        self._keep((*self.promises, made), {at for at, _ in where})
        self._drop_broken({at for at, _ in where})
        return made

    def _when_in_quota(self, owner: str, short: Resources) -> tuple[int, str] | None:
        """When the ends of the owner's workloads will have made room in the quota, and the last of
        these."""
        for at_ms, id_, amount in self._profile.owned_ends(owner):
            short = short.minus_at_most(amount)
            if short == ZERO:
                return (at_ms, id_)
        return None

    def _earliest(
        self,
        workload: Workload,
        bins: Sequence[int],
        span_ms: tuple[int, int],
        left: Left,
        claim: Claim,
    ) -> tuple[int, Where] | None:
        """The first moment in this span from which on all replicas fit, and the bins."""
        from_ms, until_ms = span_ms
        if from_ms > until_ms:
            return None
        if workload.replicas == 1 or len(bins) == 1:
            return self._earliest_in_one(workload, bins, span_ms, left, claim)
        request, counts, changes = workload.request, dict[int, int](), list[tuple[int, int, int]]()
        for at in bins:
            starts, more = self._in_bin(at, left), claim(at)
            for at_ms in self._profile.moments(at, from_ms, until_ms):
                amount = self._profile.ever_after(at, at_ms, starts).minus(more)
                changes.append((at_ms, at, request.count_in(amount)))
        found_ms, total = from_ms, 0
        for at_ms, at, count in sorted(changes):
            if total >= workload.replicas and at_ms > found_ms:
                break
            total, found_ms = total + count - counts.get(at, 0), at_ms
            counts[at] = count
        if total < workload.replicas:
            return None
        return found_ms, self._fullest_first(counts, workload.replicas)

    def _earliest_in_one(
        self,
        workload: Workload,
        bins: Sequence[int],
        span_ms: tuple[int, int],
        left: Left,
        claim: Claim,
    ) -> tuple[int, Where] | None:
        """The same where one bin takes all replicas: 1. the earliest, 2. the fullest."""
        (from_ms, until_ms), total, best = span_ms, workload.total, None
        free, profile = self._capacity.free, self._profile
        for at in sorted(bins, key=lambda at: (free[at].gpu, free[at].cpu_milli, at)):
            starts, want = self._in_bin(at, left), total.plus(claim(at))

            def fits(
                at_ms: int, at: int = at, starts: Starts = starts, want: Resources = want
            ) -> bool:
                return want.fits_in(profile.ever_after(at, at_ms, starts))

            if until_ms >= from_ms and fits(until_ms):
                moments = profile.moments(at, from_ms, until_ms)
                first_ms = moments[bisect_left(moments, True, key=fits)]
                best, until_ms = (first_ms, [(at, workload.replicas)]), first_ms - 1
        return best

    def _fullest_first(self, counts: Mapping[int, int], replicas: int) -> Where:
        free, where = self._capacity.free, list[tuple[int, int]]()
        for at in sorted(counts, key=lambda at: (free[at].gpu, free[at].cpu_milli, at)):
            if (count := min(counts[at], replicas)) > 0:
                where.append((at, count))
                replicas -= count
        return where

    def _last(self, at_ms: int, where: Where) -> str | None:
        """Of the workloads that end in the bins at this moment, the first by id."""
        ends_in = self._profile.ends_in
        ending = (id_ for at, _ in where for ms, id_, _ in ends_in(at) if ms == at_ms)
        return min(ending, default=None)

    # --- Changes during the cycle ----------------------------------------------------------------

    def _keep(self, promises: tuple[DelayedStart, ...], bins: Iterable[int]) -> None:
        """Have these promises from here on; those in the `bins` differ."""
        self.promises = promises
        for at in sorted(bins):
            here = tuple(p for p in promises if any(number == at for number, _ in p.where))
            self._budget.spent += len(promises) // 4
            if here:
                self._by_bin[at] = here
            else:
                self._by_bin.pop(at, None)
            self._capacity.changed.append(at)

    def _end(self, promise: DelayedStart) -> None:
        left = tuple(each for each in self.promises if each is not promise)
        self._keep(left, {at for at, _ in promise.where})

    def forget(self, workload: Workload) -> None:
        if (promise := self.of(workload)) is not None:
            self._end(promise)

    def started(self, workload: Workload, where: Where) -> None:
        """Note a start; promises that it breaks end."""
        self.forget(workload)
        self._profile.started(workload, where)
        if self.promises:
            self._drop_broken({at for at, _ in where})

    def evicted(self, victim: Candidate) -> None:
        self._profile.evicted(victim)

    def drained(self, id_: str) -> None:
        """Note a workload that a drain has evicted before the first turn."""
        self._profile.gone.add(id_)

    def _drop_broken(self, bins: Collection[int]) -> None:
        """End promises, the last ones first, until each bin keeps those that are left."""
        for at in sorted(bins):
            while (here := self._by_bin.get(at)) and min(self._profile.left(at, here)) < 0:
                self._end(here[-1])
