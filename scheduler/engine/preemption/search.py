"""Making room: the cheapest victims whose leaving lets a workload start, on the bins as they are.

One replica, or any number in a pool, takes one bin: the cheapest set in the best bin wins (found by
victims.py, exact up to covering.py's work limit). Bins are searched in the order of a floor under
their prices, until the next floor is no lower than the best price; and per request a bin is looked
at anew only when something in it has changed. A gang takes several bins: see gang.py.

Every search has a work limit, and all of a cycle's together have one: beyond it searches are hasty.
`VictimSet.proved` says whether one was cut short. No victim in an answer can be spared, ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from scheduler.engine.capacity import Capacity, Usable, fits
from scheduler.engine.preemption import covering, gang
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.gang import GangSearch
from scheduler.engine.preemption.victims import Candidate, VictimSet
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Labels

CYCLE_LIMIT = 2_000_000
HASTY_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Request:
    """What room is wanted for, and the value below which victims may be.

    `usable` where less than what is free may be drawn on: a function that changes its answer for a
    bin only when the bin changes.
    """

    request: Resources
    replicas: int
    selector: Labels
    below: int
    usable: Usable | None = None


_Entry = tuple[tuple[int, int], int, int]  # price, number, bin


@dataclass(slots=True)
class _Ranking:
    """Bins by the price of their cheapest victims for one ask, or, as long as these are not found
    (None), by a floor under it. Entries go stale by number."""

    bins: frozenset[int]
    heap: list[_Entry] = field(default_factory=list)
    found: dict[int, tuple[int, VictimSet | None]] = field(default_factory=dict)
    seen: int = 0  # of capacity.changed
    number: int = 0

    def enter(self, at: int, price: tuple[int, int], victim_set: VictimSet | None) -> None:
        self.number += 1
        self.found[at] = (self.number, victim_set)
        heappush(self.heap, (price, self.number, at))

    def holds(self, entry: _Entry) -> bool:
        _, number, at = entry
        return at in self.found and self.found[at][0] == number


class PreemptionSearch:
    """Searches a roster; what it remembers only saves work."""

    def __init__(self, capacity: Capacity, candidates: Candidates) -> None:
        self._capacity, self._candidates = capacity, candidates
        self._rankings: dict[Request, _Ranking] = {}
        self._gangs: dict[tuple[Request, int], _Gang] = {}
        self._work = 0

    def cheapest(self, ask: Request) -> VictimSet | None:
        """The cheapest victims that let the ask start, or None where no victims would."""
        if self._takes_several(ask):
            return self._for_gang(ask)
        return self._best(self._ranked(ask), ask)

    def cheapest_without(self, spared: Candidate, ask: Request) -> VictimSet | None:
        """The cheapest victims if one candidate were not there: the next-best alternative."""
        if self._takes_several(ask):
            return self._for_gang(ask, spared)
        ranking = self._ranked(ask)
        touched = ranking.bins.intersection(at for at, _ in spared.frees)
        self._candidates.evict(spared)
        found = [self._in_bin(at, ask) for at in sorted(touched)]
        self._candidates.add(spared)
        found.append(self._best(ranking, ask, besides=touched))
        return min((each for each in found if each), key=lambda s: s.price, default=None)

    def _takes_several(self, ask: Request) -> bool:
        return ask.replicas > 1 and len(self._capacity.ids) > 1

    def _usable(self, ask: Request) -> Usable:
        return ask.usable or self._capacity.free.__getitem__

    def _limit(self, usual: int) -> int:
        return usual if self._work < CYCLE_LIMIT else HASTY_LIMIT

    # --- One bin ---------------------------------------------------------------------------------

    def _in_bin(self, at: int, ask: Request) -> VictimSet | None:
        need = ask.request.times(ask.replicas).minus(self._usable(ask)(at))
        found = self._candidates.cheapest_in(at, need, ask.below, self._limit(covering.WORK_LIMIT))
        if found is not None:
            self._work += found.work
        return found

    def _ranked(self, ask: Request) -> _Ranking:
        ranking, changed = self._rankings.get(ask), self._capacity.changed
        if ranking is None:
            ranking = _Ranking(frozenset(self._capacity.eligible(ask.selector)))
            self._rankings[ask] = ranking
            stale = ranking.bins
        else:
            stale = ranking.bins.intersection(changed[ranking.seen :])
        ranking.seen = len(changed)
        usable = self._usable(ask)
        for at in sorted(stale):
            ranking.found.pop(at, None)
            need = ask.request.times(ask.replicas).minus(usable(at))
            floor = self._candidates.lower_bound_in(at, need, ask.below)
            if floor is not None:
                ranking.enter(at, floor, None)
        return ranking

    def _best(
        self, ranking: _Ranking, ask: Request, besides: frozenset[int] = frozenset()
    ) -> VictimSet | None:
        """The cheapest of the bins `besides` those."""
        passed, best = [], None
        while ranking.heap and best is None:
            entry = heappop(ranking.heap)
            if not ranking.holds(entry):
                continue
            at = entry[2]
            victim_set = ranking.found[at][1]
            if at in besides:
                passed.append(entry)
            elif victim_set is not None:
                passed.append(entry)
                best = victim_set
            elif (victim_set := self._in_bin(at, ask)) is not None:
                ranking.enter(at, victim_set.price, victim_set)
        for entry in passed:
            heappush(ranking.heap, entry)
        return best

    # --- A gang ----------------------------------------------------------------------------------

    def _for_gang(self, ask: Request, stays: Candidate | None = None) -> VictimSet | None:
        """In the lowest class so that everybody up to it, but `stays`, would be enough."""
        bins = frozenset(self._capacity.eligible(ask.selector))
        for top in self._candidates.values(ask.below):
            if fits(self._reach(ask, bins, top, stays), ask.replicas):
                limit = self._limit(gang.WORK_LIMIT)
                found = self._gang(ask, bins, top).cheapest(self._usable(ask), stays, limit)
                self._work += found.work
                return found
        return None

    def _reach(
        self, ask: Request, bins: Iterable[int], top: int, stays: Candidate | None
    ) -> Iterable[int]:
        """How many replicas each bin takes once everybody up to `top` has left it."""
        usable, kept = self._usable(ask), dict(stays.frees) if stays and stays.value <= top else {}
        for at in bins:
            freed = self._candidates.freed(at, top).minus(kept.get(at, ZERO))
            yield ask.request.count_in(usable(at).plus(freed))

    def _gang(self, ask: Request, bins: frozenset[int], top: int) -> GangSearch:
        known, changed = self._gangs.get((ask, top)), self._capacity.changed
        if known is None:
            search = GangSearch(ask.request, ask.replicas, bins, self._candidates, top)
            self._gangs[ask, top] = known = _Gang(search)
        known.search.forget(changed[known.seen :])
        known.seen = len(changed)
        return known.search


@dataclass(slots=True)
class _Gang:
    search: GangSearch
    seen: int = 0  # of capacity.changed
