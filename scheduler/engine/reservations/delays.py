"""The places that time limits promise to preemptors, which wait for them instead of preempting.

With the policy's `preemption_delay_s` a preemptor evicts nothing where time limits make room for it
soon. It waits while two things are so: 1. now is before its deadline, which is that delay after it
could first have preempted: after it began to wait, and after its victims' exempt times; 2. the
promised moment, computed from time limits as EASY's is (backfill.py), is at or before the deadline.

A promise is made anew at its workload's turn in each cycle, so one that is broken leads to a
preemption at once. Within a cycle no workload of the same or a lower priority value may break it,
unless it ends before the promised moment.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.reservations.profile import DelayedStart, Profile
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import PriorityClass, Running, Snapshot, Workload

Claim = Callable[[int], Resources]
"""The amount of a bin that other reservations keep from a workload."""


@dataclass(frozen=True, slots=True)
class Left:
    """What promises leave of the bins."""

    profile: Profile
    promises: tuple[DelayedStart, ...]

    def usable(self, at: int) -> Resources:
        return self.profile.left(at, self.promises)

    @property
    def reserved_for(self) -> Workload:
        return self.promises[0].reserved_for


class Delays:
    """The promises of one cycle, in the order of their turns; the state adds its starts and
    evictions."""

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self.promises: tuple[DelayedStart, ...] = ()
        self._snapshot, self._capacity, self._budget = snapshot, capacity, capacity.budget
        self._classes, self._profile = classes, Profile(snapshot, capacity)

    def of(self, workload: Workload) -> DelayedStart | None:
        return next((each for each in self.promises if each.reserved_for is workload), None)

    @property
    def bins(self) -> set[int]:
        return {at for each in self.promises for at, _ in each.where}

    @property
    def due_ms(self) -> int | None:
        """The next promised moment, or deadline of one that is overdue; None without promises."""
        now_ms = self._snapshot.now_ms
        moments = (p.at_ms if p.at_ms > now_ms else p.deadline_ms for p in self.promises)
        return min(moments, default=None)

    # --- What the promises leave to other workloads ----------------------------------------------

    def binding(self, workload: Workload, value: int) -> Left | None:
        """What the promises that bind this workload leave; of one with a promise of its own, those
        before."""
        if not self.promises:
            return None
        self._budget.spent += len(self.promises) // 4
        found = tuple(self._before(workload, value))
        return Left(self._profile, found) if found else None

    def _before(self, workload: Workload, value: int) -> Iterator[DelayedStart]:
        for each in self.promises:
            if each.reserved_for is workload:
                return
            if each.binds(workload, value, self._snapshot.now_ms):
                yield each

    def relied_on(
        self, workload: Workload, value: int, is_candidate: Callable[[str], bool]
    ) -> frozenset[str]:
        """The ids of the candidates that the workload may not evict, since promises that bind it
        rely on their ends."""
        binding, relied = tuple(self._before(workload, value)), set[str]()
        for at in sorted({at for each in binding for at, _ in each.where}):
            relied |= self._profile.relied_on(at, binding, is_candidate)
        return frozenset(relied)

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
        now_ms = self._snapshot.now_ms
        in_quota = (now_ms, None) if short == ZERO else self._when_in_quota(workload.owner, short)
        if deadline_ms <= now_ms or in_quota is None:
            return None
        from_ms, last = in_quota
        ends, binding = self._profile.ends, tuple(self._before(workload, value))
        bins = [  # a single replica fits in none that stays as it is
            at
            for at in self._capacity.eligible(workload.selector)
            if at not in barred and (workload.replicas > 1 or last is not None or at in ends)
        ]
        found = self._earliest(workload, bins, (from_ms, deadline_ms), binding, claim)
        if found is None:
            return None
        at_ms, where = found
        if last is None or at_ms > from_ms:
            last = self._last(at_ms, where)
        if last is None:  # it lacks nothing that ends free
            return None
        made = DelayedStart(workload, value, at_ms, deadline_ms, last, where)
        self.promises = (*self.promises, made)
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
        binding: Sequence[DelayedStart],
        claim: Claim,
    ) -> tuple[int, Where] | None:
        """The first moment in this span from which on all replicas fit, and the bins."""
        from_ms, until_ms = span_ms
        if from_ms > until_ms:
            return None
        request, counts, changes = workload.request, dict[int, int](), list[tuple[int, int, int]]()
        for at in bins:
            counts[at] = 0
            for at_ms, amount in self._profile.ever_after(at, binding):
                count = request.count_in(amount.minus(claim(at)))
                if at_ms <= from_ms:
                    counts[at] = count
                elif at_ms <= until_ms:
                    changes.append((at_ms, at, count))
        found_ms, total = from_ms, sum(counts.values())
        self._budget.spent += len(bins) + len(changes)
        for at_ms, at, count in sorted(changes):
            if total >= workload.replicas and at_ms > found_ms:
                break
            total, found_ms = total + count - counts[at], at_ms
            counts[at] = count
        if total < workload.replicas:
            return None
        return found_ms, self._fullest_first(counts, workload.replicas)

    def _fullest_first(self, counts: Mapping[int, int], replicas: int) -> Where:
        free, where = self._capacity.free, list[tuple[int, int]]()
        for at in sorted(counts, key=lambda at: (free[at].gpu, free[at].cpu_milli, at)):
            if (count := min(counts[at], replicas)) > 0:
                where.append((at, count))
                replicas -= count
        return where

    def _last(self, at_ms: int, where: Where) -> str | None:
        """Of the workloads that end in the bins at this moment, the first by id."""
        ends = self._profile.ends
        ending = (id_ for at, _ in where for ms, id_, _ in ends.get(at, ()) if ms == at_ms)
        return min(ending, default=None)

    # --- Changes during the cycle ----------------------------------------------------------------

    def forget(self, workload: Workload) -> None:
        if self.promises:
            left = (each for each in self.promises if each.reserved_for is not workload)
            self.promises = tuple(left)

    def started(self, workload: Workload, where: Where) -> None:
        """Note a start; promises that it breaks end."""
        self.forget(workload)
        self._profile.started(workload, where)
        if self.promises:
            self._drop_broken({at for at, _ in where})

    def evicted(self, victim: Candidate) -> None:
        self._profile.evicted(victim)

    def left(self, id_: str) -> None:
        """Note a workload that a drain has evicted before the first turn."""
        self._profile.gone.add(id_)

    def _drop_broken(self, bins: Collection[int]) -> None:
        """End promises, the last ones first, until each bin keeps those that are left."""
        for at in sorted(bins):
            while min(self._profile.ever_after(at, self.promises)[0][1]) < 0:
                last = [p for p in self.promises if any(number == at for number, _ in p.where)][-1]
                self.promises = tuple(each for each in self.promises if each is not last)
