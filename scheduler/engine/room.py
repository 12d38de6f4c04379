"""Making room: the cheapest victims whose leaving lets a workload start, on the bins as they are.

One replica, or any number in a pool, takes one bin: the cheapest set is found for each bin
(victims.py, exact up to cover.py's work limit) and the best bin wins. Per request, a bin is
searched anew only when something in it has changed. A gang takes several bins: see gang.py.

Every search has a work limit, and all of a cycle's together have one: beyond it searches are hasty.
`Sacrifice.proved` says whether one was cut short. No victim in an answer can be spared, ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from scheduler.engine import cover, gang
from scheduler.engine.capacity import Capacity, Usable, fits
from scheduler.engine.gang import GangSearch
from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import Labels
from scheduler.engine.victims import Candidate, Roster, Sacrifice

CYCLE_LIMIT = 2_000_000
HASTY_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Ask:
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
    """Bins by the price of their cheapest victims for one ask; entries go stale by number."""

    bins: frozenset[int]
    heap: list[_Entry] = field(default_factory=list)
    found: dict[int, tuple[int, Sacrifice]] = field(default_factory=dict)
    seen: int = 0  # of capacity.changed
    number: int = 0

    def holds(self, entry: _Entry) -> bool:
        _, number, at = entry
        return at in self.found and self.found[at][0] == number


class Room:
    """Searches a roster; what it remembers only saves work."""

    def __init__(self, capacity: Capacity, roster: Roster) -> None:
        self._capacity, self._roster = capacity, roster
        self._rankings: dict[Ask, _Ranking] = {}
        self._gangs: dict[tuple[Resources, Labels, int, Usable | None], _Gang] = {}
        self._work = 0

    def cheapest(self, ask: Ask) -> Sacrifice | None:
        """The cheapest victims that let the ask start, or None where no victims would."""
        if self._takes_several(ask):
            return self._for_gang(ask)
        ranking = self._ranked(ask)
        return ranking.found[ranking.heap[0][2]][1] if ranking.heap else None

    def without(self, spared: Candidate, ask: Ask) -> Sacrifice | None:
        """The cheapest victims if one candidate were not there: the next-best alternative."""
        if self._takes_several(ask):
            return self._for_gang(ask, spared)
        ranking = self._ranked(ask)
        touched = ranking.bins.intersection(at for at, _ in spared.frees)
        self._roster.evict(spared)
        found = [self._in_bin(at, ask) for at in sorted(touched)]
        self._roster.add(spared)
        found.append(_best_outside(ranking, touched))
        return min((each for each in found if each), key=lambda s: s.price, default=None)

    def _takes_several(self, ask: Ask) -> bool:
        return ask.replicas > 1 and len(self._capacity.ids) > 1

    def _usable(self, ask: Ask) -> Usable:
        return ask.usable or self._capacity.free.__getitem__

    def _limit(self, usual: int) -> int:
        return usual if self._work < CYCLE_LIMIT else HASTY_LIMIT

    # --- One bin ---------------------------------------------------------------------------------

    def _in_bin(self, at: int, ask: Ask) -> Sacrifice | None:
        need = ask.request.times(ask.replicas).minus(self._usable(ask)(at))
        found = self._roster.cheapest_in(at, need, ask.below, self._limit(cover.WORK_LIMIT))
        if found is not None:
            self._work += found.work
        return found

    def _ranked(self, ask: Ask) -> _Ranking:
        ranking, changed = self._rankings.get(ask), self._capacity.changed
        if ranking is None:
            ranking = _Ranking(frozenset(self._capacity.eligible(ask.selector)))
            self._rankings[ask] = ranking
            stale = ranking.bins
        else:
            stale = ranking.bins.intersection(changed[ranking.seen :])
        ranking.seen = len(changed)
        for at in sorted(stale):
            ranking.found.pop(at, None)
            sacrifice = self._in_bin(at, ask)
            if sacrifice is not None:
                ranking.number += 1
                ranking.found[at] = (ranking.number, sacrifice)
                heappush(ranking.heap, (sacrifice.price, ranking.number, at))
        while ranking.heap and not ranking.holds(ranking.heap[0]):
            heappop(ranking.heap)
        return ranking

    # --- A gang ----------------------------------------------------------------------------------

    def _for_gang(self, ask: Ask, stays: Candidate | None = None) -> Sacrifice | None:
        """In the lowest class so that everybody up to it, but `stays`, would be enough."""
        bins = frozenset(self._capacity.eligible(ask.selector))
        for top in self._roster.values(ask.below):
            if fits(self._reach(ask, bins, top, stays), ask.replicas):
                limit = self._limit(gang.WORK_LIMIT)
                found = self._gang(ask, bins, top).cheapest(ask.replicas, stays, limit)
                self._work += found.work
                return found
        return None

    def _reach(
        self, ask: Ask, bins: Iterable[int], top: int, stays: Candidate | None
    ) -> Iterable[int]:
        """How many replicas each bin takes once everybody up to `top` has left it."""
        usable, kept = self._usable(ask), dict(stays.frees) if stays and stays.value <= top else {}
        for at in bins:
            freed = self._roster.freed(at, top).minus(kept.get(at, NOTHING))
            yield ask.request.count_in(usable(at).plus(freed))

    def _gang(self, ask: Ask, bins: frozenset[int], top: int) -> GangSearch:
        key, changed = (ask.request, ask.selector, top, ask.usable), self._capacity.changed
        known = self._gangs.get(key)
        if known is None:
            search = GangSearch(ask.request, bins, self._usable(ask), self._roster, top)
            self._gangs[key] = known = _Gang(search)
        known.search.forget(changed[known.seen :])
        known.seen = len(changed)
        return known.search


@dataclass(slots=True)
class _Gang:
    search: GangSearch
    seen: int = 0  # of capacity.changed


def _best_outside(ranking: _Ranking, touched: frozenset[int]) -> Sacrifice | None:
    """The cheapest of the bins not touched; the ranking stays as it is."""
    passed = []
    best = None
    while ranking.heap:
        entry = heappop(ranking.heap)
        if not ranking.holds(entry):
            continue
        passed.append(entry)
        if entry[2] not in touched:
            best = ranking.found[entry[2]][1]
            break
    for entry in passed:
        heappush(ranking.heap, entry)
    return best
