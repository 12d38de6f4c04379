"""Which running workloads have to yield: the cheapest set that makes room.

Objective, in this order: the highest priority class touched is as low as possible; the cost within
it is least; then the cost within the next lower class, and so on. Ties: fewer victims, then the
youngest, then the highest id (as the least sum of ranks in that order).

A victim's cost is the work it would lose, its dominant share of the cluster (Ghodsi et al., NSDI
2011) times the time since it started or last reported a checkpoint, plus a fixed disruption of
60 s of that share. Within a class the set is found by cover.py: exactly up to WORK_LIMIT, which
a few dozen different requests hardly reach; beyond it no worse than greedy with reprieve.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.engine.cover import Group, cover
from scheduler.engine.order import by_name
from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import Policy, PriorityClass, Running, Snapshot

WORK_LIMIT = 20_000
DISRUPTION_MS = 60_000
SHARE_SCALE = 1_000_000  # shares of the cluster are counted in millionths
RANK_BITS, COUNT_BITS = 40, 24  # room for the ranks of a million victims, and for their number


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload that may be evicted. `weight` orders by cost, then count, then age rank, also summed."""

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
    shares = (SHARE_SCALE * part // whole for part, whole in zip(amount, total, strict=True) if whole)
    return max(shares, default=0)


@dataclass(slots=True)
class _Tier:
    """The candidates of one priority class, grouped by what they free, lightest first."""

    value: int
    frees: Resources = NOTHING
    groups: dict[Resources, list[Candidate]] = field(default_factory=dict)


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
        # Tie-break: 1. the youngest (STARTING counts as now), 2. the highest id.
        eligible.sort(key=lambda r: r.id, reverse=True)
        eligible.sort(key=lambda r: now_ms if r.started_ms is None else r.started_ms, reverse=True)
        tiers: dict[int, _Tier] = {}
        for rank, running in enumerate(eligible):
            value = classes[running.priority].value
            tier = tiers.setdefault(value, _Tier(value))
            price, frees = cost(running, snapshot.total, now_ms), running.total
            weight = (price << (RANK_BITS + COUNT_BITS)) + (1 << RANK_BITS) + rank
            tier.groups.setdefault(frees, []).append(
                Candidate(running.id, frees, price, lost_ms(running, now_ms), weight)
            )
            tier.frees = tier.frees.plus(frees)
        for tier in tiers.values():
            for group in tier.groups.values():
                group.sort(key=lambda candidate: candidate.weight)
        self.tiers = [tiers[value] for value in sorted(tiers)]

    def take_cheapest(self, need: Resources, below: int) -> list[Candidate] | None:
        """Take out the cheapest candidates of a value under `below` that free `need`, or none at all.

        Amounts of zero or less in `need` are not short. None: all of them together would not do.
        """
        tiers = [tier for tier in self.tiers if tier.value < below]
        reach = need
        for top, tier in enumerate(tiers):
            reach = reach.minus(tier.frees)
            if max(reach) <= 0:
                break
        else:
            return None
        victims: list[Candidate] = []
        for depth in range(top, -1, -1):
            spare = _sum(tier.frees for tier in tiers[:depth])
            taken = _sum(victim.frees for victim in victims)
            victims += _take(tiers[depth], need.minus(spare).minus(taken))
        return victims


def _sum(amounts: Iterable[Resources]) -> Resources:
    total = NOTHING
    for amount in amounts:
        total = total.plus(amount)
    return total


def _take(tier: _Tier, need: Resources) -> list[Candidate]:
    dims = [d for d, amount in enumerate(need) if amount > 0]
    if not dims:
        return []
    short = tuple(need[d] for d in dims)
    shapes = [shape for shape in tier.groups if any(shape[d] for d in dims)]
    groups = [
        Group(tuple(shape[d] for d in dims), [c.weight for c in tier.groups[shape]]) for shape in shapes
    ]
    taken: list[Candidate] = []
    for shape, count in zip(shapes, cover(short, groups, WORK_LIMIT), strict=True):
        taken += tier.groups[shape][:count]
        tier.groups[shape] = tier.groups[shape][count:]
        if not tier.groups[shape]:
            del tier.groups[shape]
    tier.frees = tier.frees.minus(_sum(candidate.frees for candidate in taken))
    return taken
