"""Victims in one bin without a search for the cheapest: for a cycle that has spent its exact steps.

Of the first bins in which all candidates up to the lowest possible priority value free enough, the
answer is the one with the lightest greedy victims. They are not proved to be the cheapest, but none
of them can be spared.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.request import Request
from scheduler.engine.preemption.victims import Candidate, VictimSet, weight_of
from scheduler.engine.resources import Resources

EXAMINED = 8  # bins for one request
FEW = 64  # candidates in a bin, up to which the first covers of covering.py are made
COVER_STEPS, CANDIDATE_STEPS = 60, 12  # of such a cover, and of each candidate in it


class HastySearch:
    """Greedy answers, in steps that the cycle's budget counts."""

    def __init__(self, capacity: Capacity, candidates: Candidates) -> None:
        self._capacity, self._candidates = capacity, candidates
        self._budget = capacity.budget
        # By priority value, then bin: the free amount after all candidates up to it have left.
        self._emptied = {value: list(capacity.free) for value in candidates.values}
        self._seen = (len(capacity.changed), len(candidates.changed))
        self._update(range(len(capacity.free)))

    def cheap(self, request: Request) -> VictimSet | None:
        """Victims in one bin that let all replicas start; None if no victims would."""
        changes, logs = self._seen, (self._capacity.changed, self._candidates.changed)
        self._seen = (len(logs[0]), len(logs[1]))
        self._update({at for log, seen in zip(logs, changes, strict=True) for at in log[seen:]})
        tops = [value for value in self._candidates.values if value < request.below]
        lowest = bisect_left(
            tops, True, key=lambda top: any(True for _ in self._bins(request, top))
        )
        if lowest == len(tops):
            return None
        bins = islice(self._bins(request, tops[lowest]), EXAMINED)
        found = [self._in_bin(at, request, tops[lowest]) for at in bins]
        return min(found, key=lambda victim_set: victim_set.weight)

    def _update(self, bins: Sequence[int] | set[int]) -> None:
        self._budget.spent += len(bins) * (1 + len(self._emptied))
        for at in bins:
            free, tiers = self._capacity.free[at], self._candidates.tiers[at]
            for value, emptied in self._emptied.items():
                if value in tiers:
                    free = free.plus(tiers[value].frees)
                emptied[at] = free

    def _bins(self, request: Request, top: int) -> Iterator[int]:
        """The bins in which all candidates of a value up to `top` free enough."""
        capacity, usable, need = self._capacity, request.usable, request.total
        cpu_milli, ram_mib, gpu = need
        self._budget.spent += len(capacity.ids) // 8
        for at, (has_cpu, has_ram, has_gpu) in enumerate(self._emptied[top]):
            if has_cpu < cpu_milli or has_ram < ram_mib or has_gpu < gpu:
                continue
            if capacity.is_eligible(at, request.selector):
                self._budget.spent += 2
                if usable is None or need.fits_in(usable(at).plus(self._candidates.freed(at, top))):
                    yield at

    def _in_bin(self, at: int, request: Request, top: int) -> VictimSet:
        usable = request.usable or self._capacity.free.__getitem__
        need, count = request.total.minus(usable(at)), self._candidates.count(at)
        if count <= FEW:
            self._budget.spent += COVER_STEPS + CANDIDATE_STEPS * count
            found = self._candidates.cheapest_in(at, need, request.below, work_limit=0)
            if found is None:
                raise AssertionError("all candidates together free too little")
            return replace(found, proved=False)
        victims = self._lightest_first(at, need, top)
        return VictimSet(top, weight_of(victims), victims, proved=False, work=0)

    def _lightest_first(self, at: int, missing: Resources, top: int) -> tuple[Candidate, ...]:
        """The lightest candidates that free what is missing, without those that are not needed; the
        heaviest is spared first."""
        taken: list[tuple[Candidate, Resources]] = []
        for _, candidate, amount in self._candidates.lightest_first(at, top):
            self._budget.spent += 1
            if any(gives > 0 and lacks > 0 for gives, lacks in zip(amount, missing, strict=True)):
                taken.append((candidate, amount))
                missing = missing.minus(amount)
                if max(missing) <= 0:
                    break
        needed = []
        for candidate, amount in reversed(taken):
            if max(without := missing.plus(amount)) <= 0:
                missing = without
            else:
                needed.append(candidate)
        return tuple(needed)
