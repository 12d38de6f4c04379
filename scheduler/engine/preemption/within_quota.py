"""The search for victims where an owner's quota is full: the owner's own running workloads.

A preemptor over its owner's quota needs room in the quota, which only running workloads of that
owner give back, and room on the nodes, for which any victims will do. One problem has both: the
amounts missing in the quota are further dimensions of the cover (covering.py) of each bin, and the
owner's workloads outside the bin are further items, which give nothing but quota. So the answer is
exact for one bin, up to the work limits of search.py.

A gang that takes several bins is searched in two orders, first the quota and then the nodes and the
other way round. The cheaper answer is proved where its first half is enough alone, since that is
then a lower bound. No victim in an answer can be spared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates, Cheapest
from scheduler.engine.preemption.covers.covering import WORK_LIMIT, cover
from scheduler.engine.preemption.covers.greedy import Amounts, Group
from scheduler.engine.preemption.hasty import EXAMINED
from scheduler.engine.preemption.request import Request
from scheduler.engine.preemption.search import BIN_STEPS, CANDIDATE_STEPS, PreemptionSearch
from scheduler.engine.preemption.victims import Candidate, VictimSet, weight_of
from scheduler.engine.resources import ZERO, Resources, add_up


class QuotaSearch:
    """Searches the victims of one preemptor, whose owner's quota lacks `short`."""

    def __init__(
        self,
        capacity: Capacity,
        search: PreemptionSearch,
        candidates: Candidates,
        request: Request,
        *,
        owner: str,
        short: Resources,
        barred: frozenset[int] = frozenset(),
    ) -> None:
        """What runs in the `barred` bins is no victim for the quota's sake."""
        self._capacity, self._search, self._candidates = capacity, search, candidates
        self._request, self._owner, self._short = request, owner, short
        self._barred, self._budget = barred, capacity.budget
        self._dims = [dim for dim, amount in enumerate(short) if amount > 0]
        self._bins = list(capacity.eligible(request.selector))

    def cheapest(self) -> VictimSet | None:
        """The cheapest victims that let the preemptor start; None if none would."""
        tops = [value for value in self._candidates.values if value < self._request.below]
        if not tops or self._short_of(self._own(tops[-1])):
            return None
        for top in tops:
            own = self._own(top)
            self._budget.spent += len(own) + len(self._bins)
            if not self._short_of(own) and self._fits_after_all(top):
                return self._up_to(top, own)
        return None

    def cheapest_without(self, spared: Candidate) -> VictimSet | None:
        """The same if `spared` could not be evicted. None also once the cycle is hasty."""
        if self._is_hasty:
            return None
        self._candidates.evict(spared)
        found = self.cheapest()
        self._candidates.add(spared)
        return found

    @property
    def _is_hasty(self) -> bool:
        return self._budget.spent > self._budget.exact

    # --- What there is ---------------------------------------------------------------------------

    @cached_property
    def _usable(self) -> dict[int, Resources]:
        self._budget.spent += len(self._bins)
        return {at: self._usable_now(at) for at in self._bins}

    def _usable_now(self, at: int) -> Resources:
        usable = self._request.usable
        return self._capacity.free[at] if usable is None else usable(at)

    def _own(self, top: int) -> list[Candidate]:
        return [
            each
            for each in self._candidates.owned_by(self._owner)
            if each.value <= top and self._counts_for_quota(each)
        ]

    def _counts_for_quota(self, candidate: Candidate) -> bool:
        is_own = candidate.owner == self._owner
        return is_own and not any(at in self._barred for at, _ in candidate.frees)

    def _short_of(self, own: Iterable[Candidate]) -> bool:
        """Whether the quota would still lack something after these have left."""
        return not self._short.fits_in(add_up(map(_total, own)))

    def _fits_after_all(self, top: int) -> bool:
        """Whether the replicas fit after all candidates up to the value `top` have left."""
        counts = (self._count(at, self._candidates.freed(at, top)) for at in self._bins)
        if self._in_several_bins:
            return sum(counts) >= self._request.replicas
        return any(count >= self._request.replicas for count in counts)

    @property
    def _in_several_bins(self) -> bool:
        return self._request.replicas > 1 and len(self._capacity.ids) > 1

    def _count(self, at: int, freed: Resources = ZERO) -> int:
        return self._request.per_replica.count_in(self._usable[at].plus(freed))

    def _is_enough(self, victims: Sequence[Candidate]) -> bool:
        """Whether the preemptor could start after these victims have left."""
        if self._short_of(filter(self._counts_for_quota, victims)):
            return False
        freed = _freed(victims)
        self._budget.spent += len(self._bins) // 8
        return (
            sum(self._count(at, freed.get(at, ZERO)) for at in self._bins) >= self._request.replicas
        )

    # --- The search ------------------------------------------------------------------------------

    def _up_to(self, top: int, own: list[Candidate]) -> VictimSet | None:
        """The cheapest victims of a value up to `top`, the lowest at which there are any."""
        quota = self._cover(self._quota_of_short, ((each, ZERO) for each in own))
        if self._is_enough(quota.victims):
            return self._made(quota.victims, proved=quota.proved)
        if self._in_several_bins:
            return self._for_gang(quota)
        return self._in_one_bin(top, own, quota)

    @property
    def _quota_of_short(self) -> Amounts:
        return tuple(self._short[dim] for dim in self._dims)

    def _in_one_bin(self, top: int, own: list[Candidate], quota: Cheapest) -> VictimSet | None:
        request, ranked = self._request, []
        for at in self._bins:
            if self._count(at, self._candidates.freed(at, top)) < request.replicas:
                continue
            need = request.total.minus(self._usable[at])
            bound = self._candidates.lower_bound_in(at, need, request.below)
            ranked.append((0 if bound is None else bound[1], at, need))
        ranked.sort()
        if self._is_hasty:
            ranked = ranked[:EXAMINED]
        best: Cheapest | None = None
        proved = not self._is_hasty
        for bound_weight, at, need in ranked:
            if best is not None and bound_weight >= best.weight:
                break
            found = self._cover_in(at, need, top, own)
            proved = proved and found.proved
            best = found if best is None or found.weight < best.weight else best
        return None if best is None else self._made(best.victims, proved=proved)

    def _cover_in(self, at: int, need: Resources, top: int, own: list[Candidate]) -> Cheapest:
        dims = [dim for dim, amount in enumerate(need) if amount > 0]
        missing = tuple(need[dim] for dim in dims)
        here = {
            each.id: (each, tuple(group.frees[dim] for dim in dims))
            for group in self._candidates.equal_candidates(at, top)
            for each in group.members
        }
        nothing = (0,) * len(dims)
        items = [(each, here.get(each.id, (each, nothing))[1]) for each in own]
        ids = {each.id for each in own}
        items += [pair for id_, pair in here.items() if id_ not in ids]
        self._budget.spent += BIN_STEPS + CANDIDATE_STEPS * len(items)
        return self._cover((*missing, *self._quota_of_short), items)

    def _cover(self, short: Amounts, items: Iterable[tuple[Candidate, Sequence[int]]]) -> Cheapest:
        """The lightest of these candidates that cover what is short in a bin and in the quota. Each
        comes with what it frees in the bin, in the order of `short`."""
        groups: dict[Amounts, list[Candidate]] = {}
        for candidate, freed in items:
            total = _total(candidate) if self._counts_for_quota(candidate) else ZERO
            gives = tuple(total[dim] for dim in self._dims)
            here = tuple(freed)[: len(short) - len(gives)]
            if any(here) or any(gives):
                groups.setdefault((*here, *gives), []).append(candidate)
        for members in groups.values():
            members.sort(key=lambda each: each.weight)
        equals = [Group(gives, [each.weight for each in m]) for gives, m in groups.items()]
        limit = max(min(WORK_LIMIT, self._budget.exact - self._budget.spent), 0)
        counts, proved, work = cover(short, equals, limit)
        self._budget.spent += work
        taken = zip(groups.values(), counts, strict=True)
        victims = tuple(each for members, count in taken for each in members[:count])
        return Cheapest(weight_of(victims), victims, proved, work)

    # --- A gang ----------------------------------------------------------------------------------

    def _for_gang(self, quota: Cheapest) -> VictimSet | None:
        """The cheaper of the quota's victims with those that the nodes need then, and the nodes'
        victims with those that the quota needs then."""
        found = [self._nodes_after(quota.victims), self._quota_after_nodes()]
        return min((each for each in found if each), key=lambda each: each.price, default=None)

    def _nodes_after(self, first: Sequence[Candidate]) -> VictimSet | None:
        freed = _freed(first)
        request = replace(
            self._request, usable=lambda at: self._usable_now(at).plus(freed.get(at, ZERO))
        )
        for victim in first:
            self._candidates.evict(victim)
        second = self._search.cheapest(request)
        for victim in first:
            self._candidates.add(victim)
        return None if second is None else self._made((*first, *second.victims), proved=False)

    def _quota_after_nodes(self) -> VictimSet | None:
        first = self._search.cheapest(self._request)
        if first is None:
            return None
        if self._is_enough(first.victims):
            return self._made(first.victims, proved=first.proved)
        given = add_up(map(_total, filter(self._counts_for_quota, first.victims)))
        left = self._short.minus_at_most(given)
        ids = {each.id for each in first.victims}
        top = max(value for value in self._candidates.values if value < self._request.below)
        others = [each for each in self._own(top) if each.id not in ids]
        again = QuotaSearch(
            self._capacity,
            self._search,
            self._candidates,
            self._request,
            owner=self._owner,
            short=left,
            barred=self._barred,
        )
        more = again._cover(again._quota_of_short, ((each, ZERO) for each in others))
        return self._made((*first.victims, *more.victims), proved=False)

    # --- The answer ------------------------------------------------------------------------------

    def _made(self, victims: Sequence[Candidate], *, proved: bool) -> VictimSet:
        """The victims without those that are not needed; the heaviest is tried first."""
        given, freed = add_up(map(_total, filter(self._counts_for_quota, victims))), _freed(victims)
        counts = {at: self._count(at, freed.get(at, ZERO)) for at in self._bins}
        spare = sum(counts.values()) - self._request.replicas
        needed = {each.id: each for each in victims}
        self._budget.spent += len(self._bins) // 8 + 2 * len(needed)
        for victim in sorted(victims, key=lambda each: each.weight, reverse=True):
            left = given.minus(_total(victim)) if self._counts_for_quota(victim) else given
            if not self._short.fits_in(left):
                continue
            less = {at: freed[at].minus(amount) for at, amount in victim.frees}
            fewer = {at: self._count(at, less[at]) for at in less if at in counts}
            lost = sum(counts[at] - count for at, count in fewer.items())
            if lost > spare:
                continue
            del needed[victim.id]
            given, spare = left, spare - lost
            freed.update(less)
            counts.update(fewer)
        kept = tuple(needed.values())
        top = max(each.value for each in kept)
        return VictimSet(top, weight_of(kept), kept, proved, 0)


def _total(candidate: Candidate) -> Resources:
    """What it has allocated in all: its eviction gives as much of the quota back."""
    return add_up(amount for _, amount in candidate.frees)


def _freed(victims: Iterable[Candidate]) -> dict[int, Resources]:
    freed: dict[int, Resources] = {}
    for victim in victims:
        for at, amount in victim.frees:
            freed[at] = freed.get(at, ZERO).plus(amount)
    return freed
