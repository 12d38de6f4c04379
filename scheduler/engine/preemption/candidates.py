"""The workloads that may be evicted in a cycle, by bin, and the cheapest of them in one bin.

Objective, in this order: the highest priority class touched is as low as possible; the cost within
it is least; then the cost within the next lower class, and so on. Ties: fewer victims, then the
youngest, then the highest id (as the least sum of ranks in that order). costs.py says what a victim
costs; search.py searches all bins for the cheapest set.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from scheduler.engine.capacity import Capacity
from scheduler.engine.order import by_name
from scheduler.engine.preemption.costs import cost, lost_ms, may_be_evicted
from scheduler.engine.preemption.covering import WORK_LIMIT, cover
from scheduler.engine.preemption.greedy import Group
from scheduler.engine.preemption.lower_bound import LowerBound
from scheduler.engine.preemption.victims import Candidate, EqualCandidates, VictimSet
from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import DRAINING, Snapshot

# A weight is, from its high bits: cost in the highest class, …, in the lowest, count, age rank.
# Each part has room for the sum over a million victims, so that sums of weights compare likewise.
RANK_BITS, TIE_BITS, COST_BITS = 40, 64, 96


class Candidates:
    """Everybody who may be evicted in this cycle, by bin. The only state: who has been already."""

    def __init__(self, snapshot: Snapshot, capacity: Capacity) -> None:
        self.tiers: list[dict[int, _Tier]] = [{} for _ in capacity.ids]
        for candidate in _candidates(snapshot, capacity):
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        for at, amount in candidate.frees:
            self.tiers[at].setdefault(candidate.value, _Tier()).add(candidate, amount)

    def values(self, below: int) -> list[int]:
        """The priority values under `below` that anybody here has, lowest first."""
        return sorted({value for tiers in self.tiers for value in tiers if value < below})

    def freed(self, at: int, up_to: int) -> Resources:
        """What a bin gets back if everybody of a value of at most `up_to` leaves it."""
        return add_up(tier.frees for value, tier in self.tiers[at].items() if value <= up_to)

    def lower_bound_in(self, at: int, need: Resources, below: int) -> tuple[int, int] | None:
        """The price that `cheapest_in` does not undercut; None where it finds nobody."""
        for value in sorted(self.tiers[at]):
            if value >= below:
                break
            tier = self.tiers[at][value]
            rest = need.minus(tier.frees)
            if max(rest) <= 0:
                return value, tier.floor().of(need)
            need = rest
        return None

    def cheapest_in(
        self, at: int, need: Resources, below: int, work_limit: int = WORK_LIMIT
    ) -> VictimSet | None:
        """The cheapest candidates of a value under `below` that free `need` in one bin; None where
        all of them would not do. Amounts of zero or less in `need` are not short.

        Exact unless the search of covering.py reaches `work_limit`.
        """
        reach, top = need, below
        stacks: list[EqualCandidates] = []
        for value in sorted(self.tiers[at]):
            if value >= below or max(reach) <= 0:
                break
            tier, top = self.tiers[at][value], value
            reach = reach.minus(tier.frees)
            stacks += tier.equal_candidates()
        if max(reach) > 0:
            return None
        found = cheapest_of(need, stacks, work_limit)
        return VictimSet(top, found.weight, found.victims, found.proved, found.work)

    def equal_candidates(self, at: int, up_to: int) -> list[EqualCandidates]:
        """Everybody of a value of at most `up_to` in a bin."""
        tiers = sorted(self.tiers[at].items())
        return [
            stack for value, tier in tiers if value <= up_to for stack in tier.equal_candidates()
        ]

    def evict(self, victim: Candidate) -> None:
        for at, amount in victim.frees:
            self.tiers[at][victim.value].remove(victim, amount)

    @contextmanager
    def sparing(self, bins: frozenset[int]) -> Iterator[None]:
        """As if nobody could be evicted who holds some of these bins and some of others."""
        tiers = (tier for at in sorted(bins) for tier in self.tiers[at].values())
        members = (each for tier in tiers for stack in tier.stacks.values() for each in stack)
        spared = {each.id: each for each in members if any(at not in bins for at, _ in each.frees)}
        for candidate in spared.values():
            self.evict(candidate)
        yield
        for candidate in spared.values():
            self.add(candidate)


class Cheapest(NamedTuple):
    """`weight` is what they weigh there; False in `proved` where the search was cut short."""

    weight: int
    victims: tuple[Candidate, ...]
    proved: bool
    work: int


def cheapest_of(need: Resources, stacks: Iterable[EqualCandidates], work_limit: int) -> Cheapest:
    """The lightest candidates that free `need`, which all of them together do (see covering.py)."""
    dims = [d for d, amount in enumerate(need) if amount > 0]
    useful = [stack for stack in stacks if any(stack.frees[d] for d in dims)]
    groups = [Group(tuple(stack.frees[d] for d in dims), stack.weights) for stack in useful]
    counts, proved, work = cover(tuple(need[d] for d in dims), groups, work_limit)
    taken = list(zip(useful, counts, strict=True))
    victims = tuple(victim for stack, count in taken for victim in stack.members[:count])
    weight = sum(sum(stack.weights[:count]) for stack, count in taken)
    return Cheapest(weight, victims, proved, work)


class _Tier:
    """One bin's candidates of one priority class, stacked by what they free, the lightest first."""

    def __init__(self) -> None:
        self.frees = ZERO
        self.stacks: dict[Resources, list[Candidate]] = {}
        self._floor: LowerBound | None = None

    def floor(self) -> LowerBound:
        if self._floor is None:
            self._floor = LowerBound(self.equal_candidates())
        return self._floor

    def add(self, candidate: Candidate, amount: Resources) -> None:
        self._floor = None
        self.frees = self.frees.plus(amount)
        insort(self.stacks.setdefault(amount, []), candidate, key=_weight)

    def remove(self, candidate: Candidate, amount: Resources) -> None:
        self._floor = None
        stack = self.stacks[amount]
        del stack[bisect_left(stack, candidate.weight, key=_weight)]
        if not stack:
            del self.stacks[amount]
        self.frees = self.frees.minus(amount)

    def equal_candidates(self) -> list[EqualCandidates]:
        return [
            EqualCandidates(amount, [candidate.weight for candidate in stack], stack)
            for amount, stack in self.stacks.items()
        ]


def _weight(candidate: Candidate) -> int:
    return candidate.weight


def _candidates(snapshot: Snapshot, capacity: Capacity) -> Iterable[Candidate]:
    classes = by_name(snapshot.classes)
    policy, now_ms = snapshot.policy, snapshot.now_ms
    draining = {node.id for node in snapshot.nodes if node.state == DRAINING}
    eligible = [
        running
        for running in snapshot.running
        if not any(each.node_id in draining for each in running.placement)
        and may_be_evicted(running, classes[running.priority], policy, now_ms)
    ]
    # Ties: 1. the youngest (STARTING counts as now), 2. the highest id.
    eligible.sort(key=lambda r: r.id, reverse=True)
    eligible.sort(key=lambda r: now_ms if r.started_ms is None else r.started_ms, reverse=True)
    values = sorted({classes[running.priority].value for running in eligible})
    shift = {value: TIE_BITS + COST_BITS * depth for depth, value in enumerate(values)}
    for rank, running in enumerate(eligible):
        value = classes[running.priority].value
        price = cost(running, snapshot.total, now_ms)
        yield Candidate(
            id=running.id,
            value=value,
            frees=tuple(
                (at, running.request.times(count))
                for at, count in capacity.bins_of(running.placement)
            ),
            cost=price,
            lost_ms=lost_ms(running, now_ms),
            weight=(price << shift[value]) + (1 << RANK_BITS) + rank,
        )
