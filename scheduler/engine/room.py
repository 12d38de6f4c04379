"""Making room: the cheapest victims whose leaving lets a workload start, on the bins as they are.

One replica, or any number in a pool, takes one bin: the cheapest set is found for each bin
(victims.py, exact up to cover.py's work limit) and the best bin wins. Per request, a bin is
searched anew only when something in it has changed.

A gang takes several bins. Let f(k) be the least weight of victims that lets a bin take k replicas
more than now; then so many replicas as are missing are shared out over the bins by dynamic
programming (the multiple-choice knapsack of Kellerer, Pferschy and Pisinger, 2004, chapter 11),
which is exact while victims live in one bin each. Victims that span bins are tried in all
combinations, up to MOST_SPANNING of them; beyond that, and beyond DP_LIMIT steps, the set is the
better of a greedy one and of the dynamic program that counts a spanning victim in each bin, both
with reprieve. `Sacrifice.proved` says which it was. No victim in an answer can be spared, ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, combinations

from scheduler.engine.capacity import Capacity, Usable, fits
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Labels
from scheduler.engine.victims import Candidate, Roster, Sacrifice

MOST_SPANNING = 6
DP_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True)
class Ask:
    """What room is wanted for, and the value below which victims may be."""

    request: Resources
    replicas: int
    selector: Labels
    below: int


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

    def cheapest(self, ask: Ask, usable: Usable | None = None) -> Sacrifice | None:
        """The cheapest victims that let the ask start, or None where no victims would.

        `usable` where less than what is free may be drawn on.
        """
        if self._takes_several(ask):
            return self._for_gang(ask, usable or self._free)
        if usable is not None:
            bins = self._capacity.eligible(ask.selector)
            found = (self._in_bin(at, ask, usable) for at in bins)
            return min((each for each in found if each), key=lambda s: s.price, default=None)
        ranking = self._ranked(ask)
        return ranking.found[ranking.heap[0][2]][1] if ranking.heap else None

    def without(
        self, spared: Candidate, ask: Ask, usable: Usable | None = None
    ) -> Sacrifice | None:
        """The cheapest victims if one candidate were not there: the next-best alternative."""
        self._roster.evict(spared)
        try:
            if usable is not None or self._takes_several(ask):
                return self.cheapest(ask, usable)
            ranking = self._ranked(ask)
            touched = ranking.bins.intersection(at for at, _ in spared.frees)
            found = [self._in_bin(at, ask, self._free) for at in sorted(touched)]
            found.append(_best_outside(ranking, touched))
            return min((each for each in found if each), key=lambda s: s.price, default=None)
        finally:
            self._roster.add(spared)

    def _takes_several(self, ask: Ask) -> bool:
        return ask.replicas > 1 and len(self._capacity.ids) > 1

    def _free(self, at: int) -> Resources:
        return self._capacity.free[at]

    # --- One bin ---------------------------------------------------------------------------------

    def _in_bin(self, at: int, ask: Ask, usable: Usable) -> Sacrifice | None:
        need = ask.request.times(ask.replicas).minus(usable(at))
        return self._roster.cheapest_in(at, need, ask.below)

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
            sacrifice = self._in_bin(at, ask, self._free)
            if sacrifice is not None:
                ranking.number += 1
                ranking.found[at] = (ranking.number, sacrifice)
                heappush(ranking.heap, (sacrifice.price, ranking.number, at))
        while ranking.heap and not ranking.holds(ranking.heap[0]):
            heappop(ranking.heap)
        return ranking

    # --- A gang ----------------------------------------------------------------------------------

    def _for_gang(self, ask: Ask, usable: Usable) -> Sacrifice | None:
        bins = list(self._capacity.eligible(ask.selector))
        for top in self._roster.values(ask.below):
            reach = (
                ask.request.count_in(usable(at).plus(self._roster.freed(at, top))) for at in bins
            )
            if fits(reach, ask.replicas):
                return self._share_out(ask, usable, bins, top)
        return None

    def _share_out(self, ask: Ask, usable: Usable, bins: list[int], top: int) -> Sacrifice:
        spanning = [
            each
            for each in self._roster.spanning(top)
            if len({at for at, _ in each.frees}.intersection(bins)) > 0
        ]
        rooms = {at: usable(at) for at in bins}
        found: list[Sacrifice] = []
        if len(spanning) <= MOST_SPANNING:
            every = chain.from_iterable(combinations(spanning, n) for n in range(len(spanning) + 1))
            for gone in every:
                shared = self._dynamic(ask, rooms, top, gone)
                if shared is not None:
                    found.append(shared)
            if all(each.proved for each in found) and found:
                return min(found, key=lambda s: s.price)
        found.append(self._greedy(ask, rooms, top))
        counted_in_each = self._dynamic(ask, rooms, top, (), only_single=False)
        if counted_in_each is not None:
            found.append(counted_in_each)
        best = min(found, key=lambda s: s.price)
        victims = _reprieve(ask, rooms, best.victims)
        return Sacrifice(top, sum(v.weight for v in victims), victims, proved=False)

    def _dynamic(
        self,
        ask: Ask,
        rooms: dict[int, Resources],
        top: int,
        gone: Sequence[Candidate],
        *,
        only_single: bool = True,
    ) -> Sacrifice | None:
        """With `gone` evicted whatever happens, share out what is still missing over the bins."""
        after = _after(rooms, gone)
        missing = ask.replicas - sum(ask.request.count_in(room) for room in after.values())
        if missing <= 0:
            return Sacrifice(top, sum(v.weight for v in gone), tuple(gone))
        options = [
            self._options(at, room, ask, top + 1, missing=missing, only_single=only_single)
            for at, room in after.items()
        ]
        proved = all(each.proved for choices in options for each in choices)
        if missing * sum(map(len, options)) > DP_LIMIT:
            return None
        # best[r]: the least weight that makes room for r replicas, and the choice that led there
        best: list[tuple[int, tuple[object, Sacrifice] | None] | None] = [(0, None)]
        best += [None] * missing
        for choices in options:
            before = list(best)
            for more, choice in enumerate(choices, start=1):
                for had, entry in enumerate(before):
                    if entry is None:
                        continue
                    reached = min(had + more, missing)
                    weight = entry[0] + choice.weight
                    known = best[reached]
                    if known is None or weight < known[0]:
                        best[reached] = (weight, (entry[1], choice))
        found = best[missing]
        if found is None:
            return None
        path = found[1]
        victims = {victim.id: victim for victim in gone}
        while path is not None:
            path, choice = path  # type: ignore[assignment]  # a recursive tuple has no name
            victims.update((victim.id, victim) for victim in choice.victims)
        weight = sum(victim.weight for victim in victims.values())
        return Sacrifice(top, weight, tuple(victims.values()), proved and only_single)

    def _options(
        self, at: int, room: Resources, ask: Ask, below: int, *, missing: int, only_single: bool
    ) -> list[Sacrifice]:
        """For 1, 2, … replicas more than the bin takes now: the cheapest victims for so many."""
        now = ask.request.count_in(room)
        options = []
        for more in range(1, missing + 1):
            need = ask.request.times(now + more).minus(room)
            sacrifice = self._roster.cheapest_in(at, need, below, only_single)
            if sacrifice is None:
                break
            options.append(sacrifice)
        return options

    def _greedy(self, ask: Ask, rooms: dict[int, Resources], top: int) -> Sacrifice:
        """Lightest first until it fits; then spare, heaviest first, whoever is not needed."""
        taken: list[Candidate] = []
        after = dict(rooms)
        for candidate in self._roster.members(rooms, top):
            if fits((ask.request.count_in(room) for room in after.values()), ask.replicas):
                break
            taken.append(candidate)
            after = _after(after, [candidate])
        victims = _reprieve(ask, rooms, taken)
        return Sacrifice(top, sum(v.weight for v in victims), victims, proved=False)


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


def _after(rooms: dict[int, Resources], gone: Sequence[Candidate]) -> dict[int, Resources]:
    after = dict(rooms)
    for victim in gone:
        for at, amount in victim.frees:
            if at in after:
                after[at] = after[at].plus(amount)
    return after


def _reprieve(
    ask: Ask, rooms: dict[int, Resources], victims: Sequence[Candidate]
) -> tuple[Candidate, ...]:
    """Spare, heaviest first, everybody without whose leaving it still fits."""
    kept = sorted(victims, key=lambda v: v.weight, reverse=True)
    for victim in list(kept):
        others = [each for each in kept if each is not victim]
        counts = (ask.request.count_in(room) for room in _after(rooms, others).values())
        if fits(counts, ask.replicas):
            kept = others
    return tuple(kept)
