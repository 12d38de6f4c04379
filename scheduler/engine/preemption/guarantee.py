"""What preemption leaves to the classes that preempt nothing: a share of the cluster.

With the policy's `low_share_percent` no preemption takes so much of these classes that less than
that share of a resource which the preemptor lacks would stay allocated to them. Nothing above the
share is protected, and what they have never had is not reserved for them.

The cheapest victims without that limit are also the cheapest with it, if they keep it. Else those
in one bin are searched with it: exactly, up to a work limit. A preemptor that takes several bins
searches among some that keep it whatever it takes of them: all of other classes, and the lightest
of these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.request import Request
from scheduler.engine.preemption.searches import Searches
from scheduler.engine.preemption.victims import Candidate, VictimSet, weight_of
from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import PriorityClass, Running, Snapshot, Workload

MOST_NODES = 20_000  # of the search tree in one bin
BIN_STEPS, NODE_STEPS = 8, 2

_Item = tuple[Candidate, Resources, Resources]  # what it frees in the bin, what it takes of classes


class Guarantee:
    """What the guaranteed classes have allocated in one cycle's state, which adds its starts and
    evictions."""

    def __init__(self, snapshot: Snapshot, classes: Mapping[str, PriorityClass]) -> None:
        percent = snapshot.policy.low_share_percent
        self._kept = Resources(*(-(-amount * percent // 100) for amount in snapshot.total))
        self._classes = {
            name for name, each in classes.items() if each.preemptible and not each.may_preempt
        }
        self._allocated = {
            each.id: each.total for each in snapshot.running if each.priority in self._classes
        }
        self._sum = add_up(self._allocated.values())

    @property
    def spare(self) -> Resources:
        """What may be taken of them."""
        return self._sum.minus_at_most(self._kept)

    def left(self, id_: str) -> None:
        self._sum = self._sum.minus(self._allocated.pop(id_, ZERO))

    def started(self, workload: Workload) -> None:
        if workload.priority in self._classes:
            self._sum = self._sum.plus(workload.total)

    def taken(self, candidate: Candidate) -> Resources:
        """What the eviction takes of the guaranteed classes."""
        return self._allocated.get(candidate.id, ZERO)

    def allows(self, victims: Iterable[Candidate], lacking: Sequence[int]) -> bool:
        taken, spare = add_up(map(self.taken, victims)), self.spare
        return all(taken[dim] <= spare[dim] for dim in lacking)

    def protects(self, running: Running, workload: Workload, capacity: Capacity) -> bool:
        """Whether the share keeps this one from being evicted for the workload: it frees more than
        may be taken, or all that may be taken is too little."""
        if running.id not in self._allocated:
            return False
        spare, free = self.spare, add_up(capacity.free[at] for at in capacity.eligible(()))
        return any(
            running.total[dim] > spare[dim] or workload.total[dim] - free[dim] > spare[dim]
            for dim in lacking(workload, capacity)
        )


def lacking(workload: Workload, capacity: Capacity, short: Resources = ZERO) -> list[int]:
    """The resources of which too little is free for the workload, each looked at alone, or which
    its owner's quota lacks (`short`); all that it asks for if there is no such resource."""
    asked = [dim for dim, amount in enumerate(workload.request) if amount > 0]
    bins = list(capacity.eligible(workload.selector))
    capacity.budget.spent += len(bins)

    def fitting(dim: int) -> int:
        return sum(capacity.free[at][dim] // workload.request[dim] for at in bins)

    return [dim for dim in asked if short[dim] > 0 or fitting(dim) < workload.replicas] or asked


@dataclass(frozen=True, slots=True)
class GuardedSearch:
    """Searches victims of one preemptor that keep the guarantee, of the `lacking` resources."""

    guarantee: Guarantee
    capacity: Capacity
    candidates: Candidates
    request: Request
    lacking: Sequence[int]

    def allows(self, victim_set: VictimSet) -> bool:
        return self.guarantee.allows(victim_set.victims, self.lacking)

    def cheapest(self, searches: Searches) -> VictimSet | None:
        request = self.request
        if request.replicas == 1 or len(self.capacity.ids) == 1:
            found = self.in_one_bin()
            if found is not None:
                return found
        found = searches.among(self.harmless()).cheapest(request)
        return None if found is None else replace(found, proved=False)

    def in_one_bin(self) -> VictimSet | None:
        """The cheapest ones that let all replicas start in one bin."""
        usable, ranked = self.request.usable or self.capacity.free.__getitem__, []
        for at in self.capacity.eligible(self.request.selector):
            need = self.request.total.minus(usable(at))
            bound = self.candidates.lower_bound_in(at, need, self.request.below)
            if bound is not None:
                ranked.append((bound, at, need))
        self.capacity.budget.spent += BIN_STEPS * len(ranked)
        best: VictimSet | None = None
        for bound, at, need in sorted(ranked):
            if best is not None and bound >= best.price:
                break
            found = self._in_bin(at, need)
            if found is not None and (best is None or found.price < best.price):
                best = found
        return best

    def harmless(self) -> frozenset[str]:
        """The ids of candidates of which any may be evicted together: all of other classes, and
        the lightest of the guaranteed ones."""
        spare, chosen = self.guarantee.spare, set[str]()
        for candidate in sorted(self.candidates.left(), key=lambda each: each.weight):
            taken = self.guarantee.taken(candidate)
            if all(taken[dim] <= spare[dim] for dim in self.lacking):
                spare = spare.minus(taken)
                chosen.add(candidate.id)
        self.capacity.budget.spent += 4 * len(chosen)
        return frozenset(chosen)

    def _in_bin(self, at: int, need: Resources) -> VictimSet | None:
        below, items = self.request.below, list[_Item]()
        for value in sorted(self.candidates.tiers[at]):
            if value >= below:
                return None
            tier = self.candidates.tiers[at][value].lightest_first()
            items += [(each, freed, self.guarantee.taken(each)) for _, each, freed in tier]
            items.sort(key=lambda item: item[0].weight)
            if need.fits_in(add_up(freed for _, freed, _ in items)):
                victims, proved = self._lightest(need, items)
                if victims:
                    return VictimSet(value, weight_of(victims), victims, proved, 0)
        return None

    def _lightest(
        self, need: Resources, items: Sequence[_Item]
    ) -> tuple[tuple[Candidate, ...], bool]:
        """The lightest items that free what is needed and keep the guarantee, by depth-first
        search: none if there are none, or none was found in time. Whether they are proved."""
        rest = [ZERO]  # what the items from there on free
        for _, freed, _ in reversed(items):
            rest.append(rest[-1].plus(freed))
        rest.reverse()
        best, least, nodes = tuple[Candidate, ...](), -1, 0
        open_nodes = [(0, need, self.guarantee.spare, 0, tuple[Candidate, ...]())]
        budget = self.capacity.budget
        most_nodes = min(MOST_NODES, (budget.exact - budget.spent) // NODE_STEPS)
        while open_nodes and nodes < most_nodes:
            number, missing, spare, weight, chosen = open_nodes.pop()
            nodes += 1
            if 0 <= least <= weight:
                continue
            if max(missing) <= 0:
                best, least = chosen, weight
                continue
            if number == len(items) or not missing.fits_in(rest[number]):
                continue
            candidate, freed, taken = items[number]
            open_nodes.append((number + 1, missing, spare, weight, chosen))
            useful = any(f > 0 and m > 0 for f, m in zip(freed, missing, strict=True))
            if useful and all(taken[dim] <= spare[dim] for dim in self.lacking):
                open_nodes.append(
                    (
                        number + 1,
                        missing.minus(freed),
                        spare.minus(taken),
                        weight + candidate.weight,
                        (*chosen, candidate),
                    )
                )
        budget.spent += NODE_STEPS * nodes
        return _needed(best, need, {each.id: freed for each, freed, _ in items}), not open_nodes


def _needed(
    victims: tuple[Candidate, ...], need: Resources, freed: Mapping[str, Resources]
) -> tuple[Candidate, ...]:
    """Without those that are not needed; the heaviest is tried first."""
    kept = {each.id: each for each in victims}
    spare = add_up(freed[id_] for id_ in kept).minus(need)
    for victim in sorted(victims, key=lambda each: each.weight, reverse=True):
        if min(less := spare.minus(freed[victim.id])) >= 0:
            del kept[victim.id]
            spare = less
    return tuple(kept.values())
