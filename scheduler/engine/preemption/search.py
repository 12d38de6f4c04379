"""The search for the cheapest victims whose eviction lets a workload start.

One replica, or any number of replicas in a pool, takes one bin. The victims are then the cheapest
set of the cheapest bin (candidates.py finds a bin's set, exact up to covering.py's work limit).
Bins are searched in the order of a lower bound of their prices, until the next bound is no lower
than the best price. For each request, a bin is searched again only after a change in it. A gang
takes several bins: see gang.py.

Every search has a work limit, and a cycle has one for all of them (budget.py): after it, victims
are found without a search (hasty.py), and no alternatives are. `VictimSet.proved` is False if a
limit cut the search off. No victim in an answer can be spared.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from scheduler.engine.placement.capacity import Capacity, Usable, fits
from scheduler.engine.preemption import gang
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.covers import covering
from scheduler.engine.preemption.gang import GangSearch
from scheduler.engine.preemption.hasty import HastySearch
from scheduler.engine.preemption.request import Request
from scheduler.engine.preemption.victims import Candidate, VictimSet, cost_and_number
from scheduler.engine.resources import ZERO

BOUND_STEPS = 8  # of the lower bound of a bin
BIN_STEPS, CANDIDATE_STEPS = 30, 5  # of a bin's search and of each of its candidates, beside `work`

_Entry = tuple[tuple[int, int], int, int]  # price, number, bin


@dataclass(slots=True)
class _Ranking:
    """Bins by the price of their cheapest victims for one request. Until a bin's victims are
    searched (None), its price is a lower bound. A new entry of a bin replaces the older one."""

    bins: frozenset[int]
    heap: list[_Entry] = field(default_factory=list)
    found: dict[int, tuple[int, VictimSet | None]] = field(default_factory=dict)
    seen: int = 0  # of capacity.changed
    number: int = 0

    def enter(self, at: int, price: tuple[int, int], victim_set: VictimSet | None) -> None:
        self.number += 1
        self.found[at] = (self.number, victim_set)
        heappush(self.heap, (price, self.number, at))

    def is_current(self, entry: _Entry) -> bool:
        _, number, at = entry
        return at in self.found and self.found[at][0] == number


class PreemptionSearch:
    """Searches the candidates. The results it keeps between searches only save work."""

    def __init__(self, capacity: Capacity, candidates: Candidates) -> None:
        self._capacity, self._candidates = capacity, candidates
        self._rankings: dict[Request, _Ranking] = {}
        self._gangs: dict[tuple[Request, int], _Gang] = {}
        self._budget = capacity.budget
        self._hasty: HastySearch | None = None

    def cheapest(self, request: Request) -> VictimSet | None:
        """The cheapest victims that let the request start; None if no victims would."""
        if self._needs_several_bins(request):
            return self._for_gang(request)
        if self._budget.spent > self._budget.exact:
            if self._hasty is None:
                self._hasty = HastySearch(self._capacity, self._candidates)
            return self._hasty.cheap(request)
        return self._cheapest_bin(self._ranked(request), request)

    def is_possible(self, request: Request) -> bool:
        """Whether any victims let the request start."""
        tops = [value for value in self._candidates.values if value < request.below]
        if not tops:
            return False
        bins = self._capacity.eligible(request.selector)
        counts = self._replicas_by_bin(request, bins, tops[-1], None)
        looked_at, found = 0, 0
        for count in counts:
            looked_at += 1
            found = found + count if self._needs_several_bins(request) else count
            if found >= request.replicas:
                break
        self._budget.spent += 2 * looked_at
        return found >= request.replicas

    def cheapest_without(self, spared: Candidate, request: Request) -> VictimSet | None:
        """The cheapest victims if the candidate `spared` could not be evicted: the next-best
        alternative. None also once the cycle is hasty."""
        if self._budget.spent > self._budget.exact:
            return None
        if self._needs_several_bins(request):
            return self._for_gang(request, spared)
        ranking = self._ranked(request)
        touched = ranking.bins.intersection(at for at, _ in spared.frees)
        self._candidates.evict(spared)
        found = [self._in_bin(at, request) for at in sorted(touched)]
        self._candidates.add(spared)
        found.append(self._cheapest_bin(ranking, request, besides=touched))
        return min((each for each in found if each), key=lambda s: s.price, default=None)

    def _needs_several_bins(self, request: Request) -> bool:
        return request.replicas > 1 and len(self._capacity.ids) > 1

    def _usable(self, request: Request) -> Usable:
        return request.usable or self._capacity.free.__getitem__

    def _limit(self, usual: int) -> int:
        return max(min(usual, self._budget.exact - self._budget.spent), 0)

    # --- One bin ---------------------------------------------------------------------------------

    def _in_bin(self, at: int, request: Request) -> VictimSet | None:
        need = request.per_replica.times(request.replicas).minus(self._usable(request)(at))
        found = self._candidates.cheapest_in(
            at, need, request.below, self._limit(covering.WORK_LIMIT)
        )
        self._budget.spent += BIN_STEPS + CANDIDATE_STEPS * self._candidates.count(at)
        if found is not None:
            self._budget.spent += found.work
        return found

    def _ranked(self, request: Request) -> _Ranking:
        ranking, changed = self._rankings.get(request), self._capacity.changed
        if ranking is None:
            ranking = _Ranking(frozenset(self._capacity.eligible(request.selector)))
            self._rankings[request] = ranking
            stale = ranking.bins
        else:
            stale = ranking.bins.intersection(changed[ranking.seen :])
        ranking.seen = len(changed)
        self._budget.spent += BOUND_STEPS * len(stale)
        usable = self._usable(request)
        for at in sorted(stale):
            ranking.found.pop(at, None)
            need = request.per_replica.times(request.replicas).minus(usable(at))
            lower_bound = self._candidates.lower_bound_in(at, need, request.below)
            if lower_bound is not None:
                ranking.enter(at, lower_bound, None)
        return ranking

    def _cheapest_bin(
        self, ranking: _Ranking, request: Request, besides: frozenset[int] = frozenset()
    ) -> VictimSet | None:
        """The cheapest victims of one bin that is not in `besides`."""
        passed, best = [], None
        while ranking.heap and best is None:
            entry = heappop(ranking.heap)
            if not ranking.is_current(entry):
                continue
            at = entry[2]
            victim_set = ranking.found[at][1]
            if at in besides:
                passed.append(entry)
            elif victim_set is not None:
                passed.append(entry)
                best = victim_set
            elif (victim_set := self._in_bin(at, request)) is not None:
                ranking.enter(at, victim_set.price, victim_set)
        for entry in passed:
            heappush(ranking.heap, entry)
        return best

    # --- A gang ----------------------------------------------------------------------------------

    def _for_gang(self, request: Request, spared: Candidate | None = None) -> VictimSet | None:
        """The cheapest victims up to the lowest priority value at which all candidates but `spared`
        together free enough."""
        bins = frozenset(self._capacity.eligible(request.selector))
        for top in self._candidates.values:
            if top >= request.below:
                return None
            self._budget.spent += 2 * len(bins)
            if fits(self._replicas_by_bin(request, bins, top, spared), request.replicas):
                return self._in_bins(bins, request, top, spared)
        return None

    def _in_bins(
        self, bins: frozenset[int], request: Request, top: int, spared: Candidate | None
    ) -> VictimSet:
        """Where the search for the fewest bins is cut off, one that does not count them may still
        find cheaper or fewer victims, or prove that there are none."""
        usable, search = self._usable(request), self._gang(request, bins, top)
        found = search.cheapest(usable, spared, self._limit(gang.WORK_LIMIT))
        self._budget.spent += found.work
        if found.proved or spared or not request.packed or self._limit(1) == 0:
            return found
        search = self._gang(replace(request, packed=False), bins, top)
        other = search.cheapest(usable, spared, self._limit(gang.WORK_LIMIT))
        self._budget.spent += other.work
        if cost_and_number(other.weight) < cost_and_number(found.weight):
            return other
        return replace(found, proved=other.proved)

    def _replicas_by_bin(
        self, request: Request, bins: Iterable[int], top: int, spared: Candidate | None
    ) -> Iterable[int]:
        """By bin, the number of replicas that it takes after all candidates of a value up to `top`
        but `spared` have left."""
        usable, kept = (
            self._usable(request),
            dict(spared.frees) if spared and spared.value <= top else {},
        )
        for at in bins:
            freed = self._candidates.freed(at, top).minus(kept.get(at, ZERO))
            yield request.per_replica.count_in(usable(at).plus(freed))

    def _gang(self, request: Request, bins: frozenset[int], top: int) -> GangSearch:
        known, changed = self._gangs.get((request, top)), self._capacity.changed
        if known is None:
            search = GangSearch(request, bins, self._candidates, top)
            self._gangs[request, top] = known = _Gang(search)
        known.search.forget(changed[known.seen :])
        known.seen = len(changed)
        return known.search


@dataclass(slots=True)
class _Gang:
    search: GangSearch
    seen: int = 0  # of capacity.changed
