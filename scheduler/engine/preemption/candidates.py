"""The workloads that may be evicted in a cycle, by bin, and the cheapest victims in one bin.

The objective, in this order: the highest priority class among the victims is as low as possible;
the cost within that class is least; then the cost within the next lower class, and so on. Ties:
fewer victims, then fewer bins of a gang (gang.py), then the youngest victims, then the highest id
(as the least sum of ranks in that order). costs.py defines the cost of a victim; search.py searches
all bins for the cheapest set.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter, itemgetter
from typing import NamedTuple

from scheduler.engine.leaving import drained, is_draining
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.costs import assumed_checkpoints, cost, lost_ms
from scheduler.engine.preemption.covers.covering import WORK_LIMIT, cover
from scheduler.engine.preemption.covers.greedy import Group
from scheduler.engine.preemption.exemption import could_be_evicted, evictable_from
from scheduler.engine.preemption.lower_bound import LowerBound
from scheduler.engine.preemption.victims import (
    COST_AT,
    COST_BITS,
    NUMBER_AT,
    Candidate,
    EqualCandidates,
    VictimSet,
)
from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import PriorityClass, Snapshot

_weight = attrgetter("weight")
BOUND_STEPS = 4  # of each candidate in a new lower bound


class Candidates:
    """The workloads that may still be evicted in this cycle, by bin and priority value."""

    def __init__(self, capacity: Capacity, candidates: Iterable[Candidate]) -> None:
        self.tiers: list[dict[int, _Tier]] = [{} for _ in capacity.ids]
        self.changed: list[int] = []  # one entry per change of a bin's candidates
        self._spanning: dict[str, Candidate] = {}  # by id: those in several bins
        self._owned: dict[str, dict[str, Candidate]] = {}  # by owner, then id
        self._left: dict[str, Candidate] = {}  # by id
        self._budget = capacity.budget
        for candidate in candidates:
            self.add(candidate)
        # The priority values of all candidates, lowest first.
        self.values = sorted({value for tiers in self.tiers for value in tiers})

    def add(self, candidate: Candidate) -> None:
        self._left[candidate.id] = candidate
        if len(candidate.frees) > 1:
            self._spanning[candidate.id] = candidate
        if candidate.owner:
            self._owned.setdefault(candidate.owner, {})[candidate.id] = candidate
        for at, amount in candidate.frees:
            self.tiers[at].setdefault(candidate.value, _Tier()).add(candidate, amount)
            self.changed.append(at)

    def left(self) -> list[Candidate]:
        return list(self._left.values())

    def owned_by(self, owner: str) -> list[Candidate]:
        return list(self._owned.get(owner, {}).values())

    def freed(self, at: int, up_to: int) -> Resources:
        """The amount that a bin gets back if all its candidates of a value up to `up_to` leave."""
        return add_up(tier.frees for value, tier in self.tiers[at].items() if value <= up_to)

    def lower_bound_in(self, at: int, need: Resources, below: int) -> tuple[int, int] | None:
        """A lower bound of the price of `cheapest_in`; None if that finds no victims."""
        for value in sorted(self.tiers[at]):
            if value >= below:
                break
            tier = self.tiers[at][value]
            rest = need.minus(tier.frees)
            if max(rest) <= 0:
                if tier.bound is None:
                    self._budget.spent += BOUND_STEPS * tier.count
                    tier.bound = LowerBound(tier.equal_candidates())
                return value, tier.bound.of(need)
            need = rest
        return None

    def cheapest_in(
        self, at: int, need: Resources, below: int, work_limit: int = WORK_LIMIT
    ) -> VictimSet | None:
        """The cheapest candidates of a value under `below` that free `need` in one bin; None if
        even all of them free too little. Amounts of zero or less in `need` are not missing.

        Exact unless the search of covering.py reaches `work_limit`.
        """
        missing, top = need, below
        groups: list[EqualCandidates] = []
        for value in sorted(self.tiers[at]):
            if value >= below or max(missing) <= 0:
                break
            tier, top = self.tiers[at][value], value
            missing = missing.minus(tier.frees)
            groups += tier.equal_candidates()
        if max(missing) > 0:
            return None
        found = cheapest_of(need, groups, work_limit)
        return VictimSet(top, found.weight, found.victims, found.proved, found.work)

    def equal_candidates(self, at: int, up_to: int) -> list[EqualCandidates]:
        """The candidates of a bin of a value up to `up_to`, grouped by the amount they free."""
        tiers = sorted(self.tiers[at].items())
        return [
            group for value, tier in tiers if value <= up_to for group in tier.equal_candidates()
        ]

    def lightest_first(self, at: int, up_to: int) -> Iterator[tuple[int, Candidate, Resources]]:
        """(Weight, candidate, amount) of the candidates of a bin of a value up to `up_to`."""
        tiers = sorted(self.tiers[at].items())
        return (each for value, tier in tiers if value <= up_to for each in tier.lightest_first())

    def count(self, at: int) -> int:
        """The number of candidates in a bin."""
        return sum(tier.count for tier in self.tiers[at].values())

    def __contains__(self, id_: object) -> bool:
        return id_ in self._left

    def evict_by_id(self, id_: str) -> Candidate:
        candidate = self._left[id_]
        self.evict(candidate)
        return candidate

    def evict(self, victim: Candidate) -> None:
        del self._left[victim.id]
        self._spanning.pop(victim.id, None)
        if victim.owner:
            del self._owned[victim.owner][victim.id]
        for at, amount in victim.frees:
            self.tiers[at][victim.value].remove(victim, amount)
            self.changed.append(at)

    @contextmanager
    def sparing(self, bins: frozenset[int]) -> Iterator[None]:
        """A context in which candidates with a placement both in these bins and in others are left
        out."""
        self._budget.spent += len(self._spanning) if bins else 0
        spared = [
            each
            for each in (self._spanning.values() if bins else ())
            if len({at in bins for at, _ in each.frees}) == 2
        ]
        for candidate in spared:
            self.evict(candidate)
        yield
        for candidate in spared:
            self.add(candidate)


class Cheapest(NamedTuple):
    """The lightest candidates. `weight` is the sum of their weights in their groups; `proved` is
    False if the work limit cut the search off."""

    weight: int
    victims: tuple[Candidate, ...]
    proved: bool
    work: int


def cheapest_of(need: Resources, equals: Iterable[EqualCandidates], work_limit: int) -> Cheapest:
    """The lightest candidates that free `need` (see covering.py). All of them together free it."""
    dims = [d for d, amount in enumerate(need) if amount > 0]
    useful = [each for each in equals if any(each.frees[d] for d in dims)]
    groups = [Group(tuple(each.frees[d] for d in dims), each.weights) for each in useful]
    counts, proved, work = cover(tuple(need[d] for d in dims), groups, work_limit)
    taken = list(zip(useful, counts, strict=True))
    victims = tuple(victim for group, count in taken for victim in group.members[:count])
    weight = sum(sum(group.weights[:count]) for group, count in taken)
    return Cheapest(weight, victims, proved, work)


class _Tier:
    """The candidates of one bin and one priority value, grouped by the amount they free; each
    group is sorted by weight."""

    def __init__(self) -> None:
        self.frees = ZERO
        self.count = 0
        self.groups: dict[Resources, list[Candidate]] = {}
        self.bound: LowerBound | None = None  # made when it is first asked for
        self._ordered: list[tuple[int, Candidate, Resources]] | None = None  # by weight

    def lightest_first(self) -> list[tuple[int, Candidate, Resources]]:
        if self._ordered is None:
            self._ordered = sorted(
                (each.weight, each, amount)
                for amount, group in self.groups.items()
                for each in group
            )
        return self._ordered

    def add(self, candidate: Candidate, amount: Resources) -> None:
        self.bound = None
        self.frees, self.count = self.frees.plus(amount), self.count + 1
        insort(self.groups.setdefault(amount, []), candidate, key=_weight)
        if self._ordered is not None:
            insort(self._ordered, (candidate.weight, candidate, amount))

    def remove(self, candidate: Candidate, amount: Resources) -> None:
        self.bound = None
        group = self.groups[amount]
        del group[bisect_left(group, candidate.weight, key=_weight)]
        if not group:
            del self.groups[amount]
        if self._ordered is not None:
            del self._ordered[bisect_left(self._ordered, candidate.weight, key=itemgetter(0))]
        self.frees, self.count = self.frees.minus(amount), self.count - 1

    def equal_candidates(self) -> list[EqualCandidates]:
        return [
            EqualCandidates(amount, [candidate.weight for candidate in group], group)
            for amount, group in self.groups.items()
        ]


def candidates_of(
    snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
) -> Iterator[Candidate]:
    """The workloads that may be evicted, also those that are exempt from impatient preemptors."""
    policy, now_ms = snapshot.policy, snapshot.now_ms
    leaving = {each.id for each in drained(snapshot)} if is_draining(snapshot) else frozenset[str]()
    eligible = [
        running
        for running in snapshot.running
        if running.id not in leaving
        and could_be_evicted(running, classes[running.priority], policy)
    ]
    # Ties: 1. the youngest (STARTING counts as now), 2. the highest id.
    eligible.sort(key=lambda r: r.id, reverse=True)
    eligible.sort(key=lambda r: now_ms if r.started_ms is None else r.started_ms, reverse=True)
    # By priority value, how many times a cost counts: with a class_cost_ratio, so many times as
    # much as in the next preemptible class below, whether or not any of that class runs; without
    # one, more than all victims of the classes below together.
    values = {classes[running.priority].value for running in eligible}
    if policy.class_cost_ratio:
        values = {each.value for each in classes.values() if each.preemptible}
    ratio = policy.class_cost_ratio or 1 << COST_BITS
    factors = {value: ratio**depth for depth, value in enumerate(sorted(values))}
    assumed = assumed_checkpoints(snapshot)
    for rank, running in enumerate(eligible):
        value = classes[running.priority].value
        from_ms = evictable_from(running, classes[running.priority], policy)
        eviction_cost = cost(running, snapshot.total, now_ms, assumed)
        yield Candidate(
            id=running.id,
            value=value,
            frees=tuple(
                (at, running.request.times(count))
                for at, count in capacity.bins_of(running.placement)
            ),
            cost=eviction_cost,
            lost_ms=lost_ms(running, now_ms),
            weight=(eviction_cost * factors[value] << COST_AT) + (1 << NUMBER_AT) + rank,
            is_exempt=from_ms is None or from_ms > now_ms,
            owner=running.owner,
        )
