"""The search for a gang: the cheapest victims in several bins that let all replicas start.

Let f(k) be the least weight of victims that lets a bin take k replicas more than now (curves.py).
The missing replicas are distributed over the bins so that the sum is least (distribution.py). Most
values of f are ruled out by their lower bounds and never searched. That is exact while each victim
is in one bin.

Under binpack a gang takes the fewest bins that victims of the least cost and number allow. For that
each bin has a weight of its own, below these, and all replicas are distributed, also those for
which there is room: f(k) is then the weight of the bin and of the victims that make room for k.

The weight of a victim in several bins is split: each bin that takes replicas in its place pays a
share. The dynamic program is then a relaxation (a Lagrangian one, Fisher 1981: the shares are its
prices). Its weight is a lower bound; evicting its victims whole gives an upper bound. If the two
differ, best-first branch and bound decides about a victim for which some bins have not paid: the
victim leaves, or it stays.

The answer is exact, and marked as proved, unless the search or the search of one bin (covering.py)
passes its work limit before a bound shows that no victims are cheaper or as cheap and fewer. Then
the answer is the best victims found: at worst replicas are placed step by step, the cheapest step
per replica first. No victim in an answer can be spared.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import NamedTuple

from scheduler.engine.placement.capacity import Usable
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.covers.distribution import (
    Reach,
    Shares,
    lightest,
    step_by_step,
    within_reach,
    without_surplus,
)
from scheduler.engine.preemption.curves import Bin, Choice, Curve, Settled
from scheduler.engine.preemption.request import Request
from scheduler.engine.preemption.victims import (
    RANK_BITS,
    Candidate,
    EqualCandidates,
    VictimSet,
    cost_and_number,
    weight_of,
)
from scheduler.engine.resources import Resources

WORK_LIMIT = 300_000  # steps of a search's dynamic programs and of the searches of its bins
BIN_WEIGHT = 1 << RANK_BITS  # of a bin that is used, where the gang is to be packed
SCALE = 20  # bits that keep the rounding of divided weights below one unit of weight
BIN_LIMITS = (500, 5_000)  # the least and the largest work limit of a search in one bin

BIN_STEPS = 80  # of looking at a bin for the first time
DYNAMIC_PER_STEP = 4  # steps of the dynamic program
ROUNDING = 8  # of a lower bound, in units of the scaled weight

_Curves = Mapping[int, Curve]
_weight = attrgetter("weight")
_Shared = list[tuple[int, Choice]]  # by bin


class _Relaxed(NamedTuple):
    """A branch's relaxation. No victims that respect the branch's decisions weigh less than
    `bound`. `victims` respect them, and their `weight`, with that of bins, is exactly `bound` if no
    candidate is `torn`: paid by some of its bins only."""

    bound: int
    weight: int
    victims: tuple[Candidate, ...]
    torn: Candidate | None


class GangSearch:
    """Searches victims of a priority value up to `top` that let the request start in these bins.

    A search may run again. The knowledge about a bin is kept until `forget`.
    """

    def __init__(
        self, request: Request, bins: Iterable[int], candidates: Candidates, top: int
    ) -> None:
        self._request, self._replicas = request.per_replica, request.replicas
        self._candidates, self._top = candidates, top
        self._bin_weight = BIN_WEIGHT if request.packed else 0
        self._any_shared = False  # whether the weight of any candidate is split
        self._bins = sorted(bins)
        self._inside = frozenset(self._bins)
        self._known: dict[int, Bin] = {}
        self._curves: dict[int, Curve] = {}
        self._work, self._exact, self._work_limit = 0, True, WORK_LIMIT

    def forget(self, bins: Iterable[int]) -> None:
        for at in bins:
            self._known.pop(at, None)

    def cheapest(
        self, usable: Usable, spared: Candidate | None = None, work_limit: int = WORK_LIMIT
    ) -> VictimSet:
        """The cheapest victims without `spared`. All other candidates together must free enough."""
        self._work, self._exact, self._work_limit = 0, True, work_limit
        for at in self._bins:
            if at not in self._known:
                self._work += BIN_STEPS + 4 * self._candidates.count(at)
                split = [
                    self._split(group) for group in self._candidates.equal_candidates(at, self._top)
                ]
                self._known[at] = Bin(
                    at,
                    self._request,
                    self._replicas,
                    usable(at),
                    split,
                    own_weight=self._bin_weight << SCALE,
                )
        self._curves = {at: self._known[at].as_it_is for at in self._bins}
        settled: Settled = () if spared is None else ((spared, False),)
        root = self._relax(settled)
        if root is None:
            raise AssertionError("all candidates together free too little")
        best, number = root, 0
        branches = [(root.bound, number, settled, root.torn)]
        while branches:
            bound, _, settled, torn = heappop(branches)
            if torn is None or bound >= best.weight:
                break
            if self._work > self._work_limit:
                self._exact = False
                break
            for leaves in (True, False):
                branch = (*settled, (torn, leaves))
                relaxed = self._relax(branch)
                if relaxed is not None:
                    best, number = min(best, relaxed, key=_weight), number + 1
                    heappush(branches, (relaxed.bound, number, branch, relaxed.torn))
        victims = best.victims
        return VictimSet(self._top, weight_of(victims), victims, self._exact, self._work)

    # --- One branch ------------------------------------------------------------------------------

    def _relax(self, settled: Settled) -> _Relaxed | None:
        """Distribute the missing replicas after the branch's leaving candidates have left; None if
        that is impossible."""
        gone = [candidate for candidate, leaves in settled if leaves]
        settled_by_bin: dict[int, Settled] = {}
        for pair in settled:
            for at in self._where(pair[0]):
                settled_by_bin[at] = (*settled_by_bin.get(at, ()), pair)
        curves = dict(self._curves)
        for at, pairs in settled_by_bin.items():
            curves[at] = self._known[at].curve(pairs)
        self._work += 2 * len(curves)
        missing = self._replicas
        if not self._bin_weight:
            missing -= sum(curve.now for curve in curves.values())
        shared = self._share_out(curves, missing) if missing > 0 else []
        if shared is None:
            return None
        taken = {victim.id: victim for _, choice in shared for victim in choice.victims}
        victims, bins = self._reprieve([*gone, *taken.values()])
        bound = weight_of(gone) - (-sum(choice.weight for _, choice in shared) >> SCALE)
        weight = weight_of(victims) + self._bin_weight * bins
        return _Relaxed(bound, weight, victims, self._torn(shared))

    def _split(self, group: EqualCandidates) -> EqualCandidates:
        """The group with the weights that one bin pays for each candidate."""
        paid = [(self._share(candidate), candidate) for candidate in group.members]
        paid.sort(key=lambda pair: (pair[0], pair[1].weight))
        return EqualCandidates(
            group.frees, [share for share, _ in paid], [each for _, each in paid]
        )

    def _share(self, candidate: Candidate) -> int:
        """The weight that each bin pays, scaled."""
        payers = self._payers(candidate)
        self._any_shared |= payers > 1
        return (candidate.weight << SCALE) // payers

    def _payers(self, candidate: Candidate) -> int:
        """The number of shares: no more bins are used than there are replicas."""
        return max(min(len(self._where(candidate)), self._replicas), 1)

    def _where(self, candidate: Candidate) -> list[int]:
        return [at for at, _ in candidate.frees if at in self._inside]

    # --- Distribution over bins ------------------------------------------------------------------

    def _share_out(self, curves: _Curves, missing: int) -> _Shared | None:
        """The lightest choices that together take the missing replicas; None if there are none.

        1. Choose step by step by the greedy weights. 2. Rule out what that shows to be too heavy.
        3. Search the f of the rest. 4. Choose step by step by f, and rule out again. 5. Decide
        about the rest by dynamic programming.
        """
        curves = {at: curve for at, curve in curves.items() if curve.most > 0}
        if sum(min(curve.most, missing) for curve in curves.values()) < missing:
            return None
        first = step_by_step({at: curve.greedy() for at, curve in curves.items()}, missing)
        self._work += BIN_STEPS * len(first.shares)
        if self._work > self._work_limit:
            self._exact = False
            return [(at, curves[at].greedy_choice(more)) for at, more in first.shares.items()]
        found: dict[int, dict[int, int]] = {}
        for at, more in without_surplus(first.shares, missing).items():
            self._find(curves[at], more, missing)
            found[at] = {more: curves[at].choices[more].weight}
        best = {at: more for at, each in found.items() for more in each}
        beat = sum(weight for each in found.values() for weight in each.values())
        for more, bins in self._worth_a_search(curves, missing, first.price, beat).items():
            for at in self._lightest({at: curves[at] for at in bins}, more, missing):
                found.setdefault(at, {})[more] = curves[at].choices[more].weight
        second = step_by_step(found, missing)
        if second.weight < beat:
            best, beat = second.shares, second.weight
        reach = within_reach(found, missing, second.price, beat)
        better = self._decide(reach, found, beat, missing)
        if better is not None:
            best = better
        return [(at, curves[at].choices[more]) for at, more in best.items()]

    def _worth_a_search(
        self, curves: _Curves, missing: int, price: int, beat: int
    ) -> dict[int, list[int]]:
        """By number of replicas, the bins whose f may be part of a solution lighter than `beat`.

        As `within_reach` by lower bounds. These are convex, so a bin's numbers are neighbours, but
        for the number without victims.
        """
        least: dict[int, tuple[int, int]] = {}  # by bin: the least reduced bound, and its number
        without: dict[int, int] = {}  # by bin: the reduced weight without victims, if there is any
        for at, curve in curves.items():
            if curve.without:
                without[at] = curve.own_weight - price * curve.without
            low, high = curve.without + 1, min(curve.most, missing)
            if low > high:
                continue
            while low < high:
                middle = (low + high) // 2
                if curve.lower_bound(middle + 1) - curve.lower_bound(middle) < price:
                    low = middle + 1
                else:
                    high = middle
            least[at] = (curve.lower_bound(low) - price * low - ROUNDING, low)
        lowest = {
            at: min(0, without.get(at, 0), least[at][0] if at in least else 0) for at in curves
        }
        slack = beat - price * missing - sum(lowest.values())
        worth: dict[int, list[int]] = {}
        for at, reduced in without.items():
            if reduced < slack + lowest[at]:
                worth.setdefault(curves[at].without, []).append(at)
                self._work += 1
        for at, (_, number) in least.items():
            curve, most = curves[at], slack + lowest[at]
            last = min(curve.most, missing)
            for numbers in (range(number, curve.without, -1), range(number + 1, last + 1)):
                for more in numbers:
                    if curve.lower_bound(more) - price * more - ROUNDING >= most:
                        break
                    worth.setdefault(more, []).append(at)
                    self._work += 1
        return worth

    def _lightest(self, curves: _Curves, more: int, missing: int) -> list[int]:
        """The `missing` bins that take `more` replicas for the least weight.

        A solution uses at most `missing` bins, so any other bin can be exchanged for an unused one
        of these. Bins are searched in the order of their lower bounds, until the next bound is no
        lower than the weights found.
        """
        bounds = [(curve.lower_bound(more), at) for at, curve in curves.items()]
        heapify(bounds)
        self._work += len(bounds)
        found: list[tuple[int, int]] = []  # weight, bin: ascending
        while bounds and (len(found) < missing or bounds[0][0] < found[missing - 1][0]):
            if self._work > self._work_limit:
                self._exact = False
                break
            _, at = heappop(bounds)
            self._find(curves[at], more, missing)
            self._exact = self._exact and curves[at].exact
            insort(found, (curves[at].choices[more].weight, at))
        return [at for _, at in found[:missing]]

    def _find(self, curve: Curve, more: int, missing: int) -> None:
        least, most = BIN_LIMITS
        limit = self._work_limit // (missing * min(missing, len(self._curves)))
        self._work += curve.find(more, min(max(limit, least), most))

    def _decide(
        self, reach: Reach, found: Mapping[int, Mapping[int, int]], beat: int, missing: int
    ) -> Shares | None:
        """The lightest shares within reach; None if they weigh no less than `beat`."""
        missing -= sum(reach.certain.values())
        steps = missing * sum(map(len, reach.open.values())) // DYNAMIC_PER_STEP
        if steps > self._work_limit:
            at_least, found_so_far = (cost_and_number(w >> SCALE) for w in (reach.bound, beat))
            self._exact &= at_least >= found_so_far and not self._any_shared
            return None
        self._work += max(steps, 0)
        options = {at: {more: found[at][more] for more in each} for at, each in reach.open.items()}
        better = lightest(options, max(missing, 0))
        if better is None:
            return None
        certain = sum(found[at][more] for at, more in reach.certain.items())
        return {**reach.certain, **better.shares} if certain + better.weight < beat else None

    def _torn(self, shared: _Shared) -> Candidate | None:
        """The victim with the largest unpaid weight, if some of its bins have not paid."""
        spanning = [v for _, choice in shared for v in choice.victims if self._payers(v) > 1]
        paid = Counter(victim.id for victim in spanning)
        torn = [v for v in spanning if paid[v.id] < self._payers(v)]

        def unpaid(victim: Candidate) -> tuple[int, str]:
            return victim.weight - paid[victim.id] * victim.weight // self._payers(
                victim
            ), victim.id

        return max(torn, key=unpaid, default=None)

    def _reprieve(self, victims: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], int]:
        """The victims without those that are not needed; the heaviest is tried first. And the
        fewest bins that take all replicas then, if that counts."""
        request = self._request
        touched = {at for victim in victims for at in self._where(victim)}
        free = {at: self._known[at].free for at in touched}
        for victim in victims:
            for at, amount in victim.frees:
                if at in free:
                    free[at] = free[at].plus(amount)
        over = sum(request.count_in(each) for each in free.values()) - self._replicas
        over += sum(curve.now for at, curve in self._curves.items() if at not in touched)
        needed = []
        for victim in sorted(victims, key=lambda victim: victim.weight, reverse=True):
            less = {at: free[at].minus(freed) for at, freed in victim.frees if at in free}
            lost = sum(request.count_in(free[at]) - request.count_in(less[at]) for at in less)
            if lost > over:
                needed.append(victim)
            else:
                over -= lost
                free.update(less)
        return tuple(needed), self._fewest(free) if self._bin_weight else 0

    def _fewest(self, free: Mapping[int, Resources]) -> int:
        """How many bins take all replicas. `free`: of the bins from which victims have left."""
        left = self._replicas
        counts = [self._request.count_in(each) for each in free.values()]
        counts += [curve.now for at, curve in self._curves.items() if at not in free]
        self._work += len(counts) // 8
        for number, count in enumerate(sorted(counts, reverse=True), start=1):
            left -= count
            if left <= 0:
                return number
        raise AssertionError("the victims free too little")
