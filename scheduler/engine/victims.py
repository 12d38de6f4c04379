"""Which running workloads have to yield: the cheapest set that makes room.

Objective, in this order: the highest priority class touched is as low as possible; the cost within
it is least; then the cost within the next lower class, and so on. Ties: fewer victims, then the
youngest, then the highest id (as the least sum of ranks in that order).

A victim's cost is the work it would lose, its dominant share of the cluster (Ghodsi et al., NSDI
2011) times the time since it started or last reported a checkpoint, plus a fixed disruption of
60 s of that share. The set is found by cover.py: exactly up to WORK_LIMIT, which a few dozen
different requests hardly reach; beyond it no worse than greedy with reprieve.
"""

from bisect import insort
from dataclasses import dataclass

from scheduler.engine.cover import Group, cover
from scheduler.engine.order import by_name
from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import Policy, PriorityClass, Running, Snapshot

WORK_LIMIT = 20_000
DISRUPTION_MS = 60_000
SHARE_SCALE = 1_000_000  # shares of the cluster are counted in millionths
# A weight is, from its high bits: cost in the highest class, …, in the lowest, count, age rank.
# Each part has room for the sum over a million victims, so that sums of weights compare likewise.
RANK_BITS, TIE_BITS, COST_BITS = 40, 64, 96


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload that may be evicted; the victims are the set of the least summed `weight`."""

    id: str
    frees: Resources
    cost: int
    lost_ms: int
    weight: int


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
    """Everybody who may be evicted in this cycle. The only state: who has been taken already."""

    def __init__(self, snapshot: Snapshot) -> None:
        classes = by_name(snapshot.classes)
        policy, now_ms = snapshot.policy, snapshot.now_ms
        eligible = [
            running
            for running in snapshot.running
            if may_be_evicted(running, classes[running.priority], policy, now_ms)
        ]
        # Ties: 1. the youngest (STARTING counts as now), 2. the highest id.
        eligible.sort(key=lambda r: r.id, reverse=True)
        eligible.sort(key=lambda r: now_ms if r.started_ms is None else r.started_ms, reverse=True)
        values = sorted({classes[running.priority].value for running in eligible})
        self._tiers = {value: _Tier() for value in values}  # lowest first
        shift = {value: TIE_BITS + COST_BITS * depth for depth, value in enumerate(values)}
        for rank, running in enumerate(eligible):
            value = classes[running.priority].value
            price = cost(running, snapshot.total, now_ms)
            weight = (price << shift[value]) + (1 << RANK_BITS) + rank
            self._tiers[value].add(
                Candidate(running.id, running.total, price, lost_ms(running, now_ms), weight)
            )

    def take_cheapest(self, need: Resources, below: int) -> list[Candidate] | None:
        """Take out the cheapest candidates of a value under `below` that free `need`, or nobody.

        Amounts of zero or less in `need` are not short. None: all of them together would not do.
        """
        tiers: list[_Tier] = []
        reach = need
        for value, tier in self._tiers.items():
            if value >= below or max(reach) <= 0:
                break
            tiers.append(tier)
            reach = reach.minus(tier.frees)
        if max(reach) > 0:
            return None
        dims = [d for d, amount in enumerate(need) if amount > 0]
        stacks = [
            (tier, shape)
            for tier in tiers
            for shape in tier.stacks
            if tier.stacks[shape] and any(shape[d] for d in dims)
        ]
        groups = [
            Group(tuple(shape[d] for d in dims), [c.weight for c in tier.stacks[shape]])
            for tier, shape in stacks
        ]
        counts = cover(tuple(need[d] for d in dims), groups, WORK_LIMIT)
        return [
            victim
            for (tier, shape), count in zip(stacks, counts, strict=True)
            for victim in tier.take(shape, count)
        ]


class _Tier:
    """The candidates of one priority class, stacked by what they free, the lightest first."""

    def __init__(self) -> None:
        self.frees = NOTHING
        self.stacks: dict[Resources, list[Candidate]] = {}

    def add(self, candidate: Candidate) -> None:
        self.frees = self.frees.plus(candidate.frees)
        insort(self.stacks.setdefault(candidate.frees, []), candidate, key=lambda c: c.weight)

    def take(self, shape: Resources, count: int) -> list[Candidate]:
        stack = self.stacks[shape]
        taken, self.stacks[shape] = stack[:count], stack[count:]
        self.frees = self.frees.minus(shape.times(count))
        return taken
