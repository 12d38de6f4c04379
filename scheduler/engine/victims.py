"""Who may have to yield, and what it would cost.

Objective, in this order: the highest priority class touched is as low as possible; the cost within
it is least; then the cost within the next lower class, and so on. Ties: fewer victims, then the
youngest, then the highest id (as the least sum of ranks in that order).

A victim's cost is the work it would lose, its dominant share of the cluster (Ghodsi et al., NSDI
2011) times the time since it started or last reported a checkpoint, plus a fixed disruption of
60 s of that share. room.py searches for the cheapest set.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.engine.capacity import Capacity
from scheduler.engine.cover import WORK_LIMIT, cover
from scheduler.engine.floor import Floor
from scheduler.engine.greedy import Group
from scheduler.engine.order import by_name
from scheduler.engine.resources import NOTHING, Resources, add_up
from scheduler.engine.snapshot import DRAINING, Policy, PriorityClass, Running, Snapshot

DISRUPTION_MS = 60_000
SHARE_SCALE = 1_000_000  # shares of the cluster are counted in millionths
# A weight is, from its high bits: cost in the highest class, …, in the lowest, count, age rank.
# Each part has room for the sum over a million victims, so that sums of weights compare likewise.
RANK_BITS, TIE_BITS, COST_BITS = 40, 64, 96


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload that may be evicted; the victims are the set of the least summed `weight`."""

    id: str
    value: int  # of its priority class
    frees: tuple[tuple[int, Resources], ...]  # what it gives back, by bin
    cost: int
    lost_ms: int
    weight: int


@dataclass(frozen=True, slots=True)
class Sacrifice:
    """A set of victims. `top` is the highest value among them; `proved`: no cheaper set exists;
    `work` is what the search took, in the steps of cover.py."""

    top: int
    weight: int
    victims: tuple[Candidate, ...]
    proved: bool
    work: int

    @property
    def price(self) -> tuple[int, int]:
        return (self.top, self.weight)


def may_be_evicted(running: Running, priority: PriorityClass, policy: Policy, now_ms: int) -> bool:
    """Whether anybody at all may evict it: its class, its exempt time, its evictions so far."""
    if not priority.preemptible or running.preemptions >= policy.max_preemptions:
        return False
    ran_ms = 0 if running.started_ms is None else now_ms - running.started_ms
    return ran_ms >= policy.preempt_exempt_s * 1000


def lost_ms(running: Running, now_ms: int) -> int:
    """Work lost if it were evicted now; nothing while it is STARTING."""
    if running.started_ms is None:
        return 0
    return max(now_ms - max(running.started_ms, running.checkpoint_ms or 0), 0)


def cost(running: Running, total: Resources, now_ms: int) -> int:
    """Millionths of the cluster times milliseconds; 0 while it is STARTING."""
    if running.started_ms is None:
        return 0
    return dominant_share(running.total, total) * (lost_ms(running, now_ms) + DISRUPTION_MS)


def dominant_share(amount: Resources, total: Resources) -> int:
    shares = (
        SHARE_SCALE * part // whole for part, whole in zip(amount, total, strict=True) if whole
    )
    return max(shares, default=0)


class Roster:
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

    def floor_in(self, at: int, need: Resources, below: int) -> tuple[int, int] | None:
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
    ) -> Sacrifice | None:
        """The cheapest candidates of a value under `below` that free `need` in one bin; None where
        all of them would not do. Amounts of zero or less in `need` are not short.

        Exact unless the search of cover.py reaches `work_limit`.
        """
        reach, top = need, below
        stacks: list[Stack] = []
        for value in sorted(self.tiers[at]):
            if value >= below or max(reach) <= 0:
                break
            tier, top = self.tiers[at][value], value
            reach = reach.minus(tier.frees)
            stacks += tier.offers()
        if max(reach) > 0:
            return None
        found = cheapest_of(need, stacks, work_limit)
        return Sacrifice(top, found.weight, found.victims, found.proved, found.work)

    def offers(self, at: int, up_to: int) -> list["Stack"]:
        """Everybody of a value of at most `up_to` in a bin."""
        tiers = sorted(self.tiers[at].items())
        return [stack for value, tier in tiers if value <= up_to for stack in tier.offers()]

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


class Stack(NamedTuple):
    """Candidates that free the same in a bin, and what each of them weighs there, ascending."""

    frees: Resources
    weights: Sequence[int]
    members: Sequence[Candidate]


class Found(NamedTuple):
    """`weight` is what they weigh there; False in `proved` where the search was cut short."""

    weight: int
    victims: tuple[Candidate, ...]
    proved: bool
    work: int


def cheapest_of(need: Resources, stacks: Iterable[Stack], work_limit: int) -> Found:
    """The lightest candidates that free `need`, which all of them together do (see cover.py)."""
    dims = [d for d, amount in enumerate(need) if amount > 0]
    useful = [stack for stack in stacks if any(stack.frees[d] for d in dims)]
    groups = [Group(tuple(stack.frees[d] for d in dims), stack.weights) for stack in useful]
    counts, proved, work = cover(tuple(need[d] for d in dims), groups, work_limit)
    taken = list(zip(useful, counts, strict=True))
    victims = tuple(victim for stack, count in taken for victim in stack.members[:count])
    weight = sum(sum(stack.weights[:count]) for stack, count in taken)
    return Found(weight, victims, proved, work)


class _Tier:
    """One bin's candidates of one priority class, stacked by what they free, the lightest first."""

    def __init__(self) -> None:
        self.frees = NOTHING
        self.stacks: dict[Resources, list[Candidate]] = {}
        self._floor: Floor | None = None

    def floor(self) -> Floor:
        if self._floor is None:
            self._floor = Floor(self.offers())
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

    def offers(self) -> list[Stack]:
        return [
            Stack(amount, [candidate.weight for candidate in stack], stack)
            for amount, stack in self.stacks.items()
        ]


def _weight(candidate: Candidate) -> int:
    return candidate.weight


def weight_of(candidates: Iterable[Candidate]) -> int:
    return sum(candidate.weight for candidate in candidates)


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
