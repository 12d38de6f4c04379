"""The victims of all preemptors of one class, chosen together.

Each preemptor takes the cheapest victims at its turn (search.py), but eight of 1 GPU each may so
evict eight workloads where one of 8 GPUs would have cost less than these. So once a class has had
its turns, the cheapest victims for all that it has started are searched: exactly where all of these
ask for the same, as one gang would, and where they share one bin; else by local search over the
bins of their replicas.

That is a proposal: the cycle is planned again with it (decision.py), and counts only if the very
same workloads start, and the victims cost less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.assignment import Assignment
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.covers.covering import WORK_LIMIT
from scheduler.engine.preemption.request import Request
from scheduler.engine.preemption.search import PreemptionSearch
from scheduler.engine.preemption.victims import Candidate, cost_and_number, weight_of
from scheduler.engine.resources import Resources, add_up
from scheduler.engine.snapshot import Workload


@dataclass(frozen=True, slots=True)
class Advice:
    """Victims for several preemptors, of which each takes as many as it needs at its turn, by
    preference in its `bins`: none are preferred without. `proved`: no cheaper ones exist."""

    victims: frozenset[str]
    proved: bool
    bins: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Member:
    """A workload that the class has started, and the bins of its replicas."""

    workload: Workload
    where: tuple[tuple[int, int], ...]

    @property
    def bins(self) -> frozenset[int]:
        return frozenset(at for at, _ in self.where)


@dataclass(frozen=True, slots=True)
class Round:
    """The moment before the first eviction for a priority value: what was free, and how many had
    started and been evicted for others."""

    value: int
    free: list[Resources]
    starts: int
    victims: int


def price_of(victims: Sequence[Candidate]) -> tuple[int, int]:
    """The highest priority value among the victims, their cost and their number: no gang is to
    take more bins for younger victims."""
    return (max(victim.value for victim in victims), cost_and_number(weight_of(victims)))


def advice_for(
    members: Sequence[Member],
    below: int,
    spent: Sequence[Candidate],
    capacity: Capacity,
    candidates: Candidates,
) -> dict[str, Advice]:
    """By workload, which victims to take: together cheaper than those `spent`. Empty if none are
    found.

    `capacity` and `candidates` are those from before the first eviction for one of the members.
    """
    first = members[0].workload
    if all(_asks_alike(each.workload, first) for each in members):
        replicas = sum(each.workload.replicas for each in members)
        packed = capacity.packs and any(each.workload.replicas > 1 for each in members)
        request = Request(first.request, replicas, first.selector, below, packed=packed)
        found = PreemptionSearch(capacity, candidates).cheapest(request)
        if found is None or price_of(found.victims) >= price_of(spent):
            return {}
        advice = Advice(frozenset(each.id for each in found.victims), found.proved)
        return {each.workload.id: advice for each in members}
    if len(capacity.ids) == 1:
        return _in_one_bin(members, below, spent, capacity, candidates)
    return _in_many_bins(members, below, spent, capacity, candidates)


def _asks_alike(one: Workload, other: Workload) -> bool:
    return one.request == other.request and one.selector == other.selector


def _in_one_bin(
    members: Sequence[Member],
    below: int,
    spent: Sequence[Candidate],
    capacity: Capacity,
    candidates: Candidates,
) -> dict[str, Advice]:
    need = add_up(each.workload.total for each in members).minus(capacity.free[0])
    limit = max(min(WORK_LIMIT, capacity.budget.exact - capacity.budget.spent), 0)
    found = candidates.cheapest_in(0, need, below, limit)
    if found is None:
        return {}
    capacity.budget.spent += found.work
    if price_of(found.victims) >= price_of(spent):
        return {}
    advice = Advice(frozenset(each.id for each in found.victims), found.proved)
    return {each.workload.id: advice for each in members}


def _in_many_bins(
    members: Sequence[Member],
    below: int,
    spent: Sequence[Candidate],
    capacity: Capacity,
    candidates: Candidates,
) -> dict[str, Advice]:
    items: list[tuple[Resources, frozenset[int], int]] = []
    eligible = {each.workload.selector: frozenset[int]() for each in members}
    for selector in eligible:
        eligible[selector] = frozenset(capacity.eligible(selector))
    for each in members:
        suited = eligible[each.workload.selector]
        for at, count in each.where:
            items += [(each.workload.request, suited, at)] * count
    assignment = Assignment(items, below, capacity, candidates)
    if not assignment.is_possible():  # some of these may evict more than all of them may
        return {}
    assignment.improve()
    victims = assignment.victims()
    if not victims or price_of(victims) >= price_of(spent):
        return {}
    ids, advice = frozenset(each.id for each in victims), {}
    bins = iter(assignment.bins)
    for each in members:
        own = frozenset(next(bins) for _ in range(each.workload.replicas))
        advice[each.workload.id] = Advice(ids, proved=False, bins=own)
    return advice
