"""The search for a gang: the cheapest victims in several bins that let all replicas start.

Let f(k) be the least weight of victims that lets a bin take k replicas more than now. Dynamic
programming distributes the missing replicas over the bins (the multiple-choice knapsack of
Kellerer, Pferschy and Pisinger, 2004, chapter 11). That is exact while each victim is in one bin.

The weight of a victim in several bins is split: each bin that takes replicas in its place pays a
share. The dynamic program is then a relaxation (a Lagrangian one, Fisher 1981: the shares are its
prices). Its weight is a lower bound; evicting its victims whole gives an upper bound. If the two
differ, best-first branch and bound decides about a victim for which some bins have not paid: the
victim leaves, or it stays.

The answer is exact, and marked as proved, unless the search or the search of one bin (covering.py)
passes its work limit. Then the answer is the best victims found. If even the first dynamic program
is too large, replicas are placed step by step, the cheapest step per replica first. No victim in an
answer can be spared.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from scheduler.engine.capacity import Usable
from scheduler.engine.preemption.candidates import Candidates, cheapest_of
from scheduler.engine.preemption.lower_bound import LowerBound
from scheduler.engine.preemption.victims import Candidate, EqualCandidates, VictimSet, weight_of
from scheduler.engine.resources import Resources, add_up

WORK_LIMIT = 300_000  # steps of a search's dynamic programs and of the searches of its bins
SCALE = 20  # bits that keep the rounding of divided weights below one unit of weight
BIN_LIMITS = (500, 5_000)  # the least and the largest work limit of a search in one bin

_Settled = tuple[tuple[Candidate, bool], ...]  # a branch's decisions: whether each candidate leaves
_Curves = Mapping[int, "_Curve"]


class _Choice(NamedTuple):
    """Victims that let a bin take some replicas more, and the weight that the bin pays, scaled."""

    weight: int
    victims: tuple[Candidate, ...]


_Shared = list[tuple[int, _Choice]]  # by bin
_Options = dict[int, dict[int, _Choice]]  # by bin, then by the number of replicas more


class _Relaxed(NamedTuple):
    """A branch's relaxation. No victims that respect the branch's decisions weigh less than
    `bound`. `victims` respect them, and weigh exactly `bound` if no candidate is `torn`: paid by
    some of its bins only."""

    bound: int
    victims: tuple[Candidate, ...]
    torn: Candidate | None


class GangSearch:
    """Searches victims of a priority value up to `top` that let `replicas` of `request` start in
    these bins.

    A search may run again. The knowledge about a bin is kept until `forget`.
    """

    def __init__(
        self,
        request: Resources,
        replicas: int,
        bins: Iterable[int],
        candidates: Candidates,
        top: int,
    ) -> None:
        self._request, self._replicas, self._candidates, self._top = (
            request,
            replicas,
            candidates,
            top,
        )
        self._bins = sorted(bins)
        self._inside = frozenset(self._bins)
        self._known: dict[int, _Bin] = {}
        self._curves: dict[int, _Curve] = {}
        self._work, self._exact, self._work_limit = 0, True, WORK_LIMIT

    def forget(self, bins: Iterable[int]) -> None:
        for at in bins:
            self._known.pop(at, None)

    def cheapest(
        self, usable: Usable, spared: Candidate | None = None, work_limit: int = WORK_LIMIT
    ) -> VictimSet:
        """The cheapest victims without `spared`. All other candidates together must free enough."""
        for at in self._bins:
            if at not in self._known:
                split = [
                    self._split(group) for group in self._candidates.equal_candidates(at, self._top)
                ]
                self._known[at] = _Bin(at, self._request, usable(at), split)
        self._curves = {at: self._known[at].as_it_is for at in self._bins}
        self._work, self._exact, self._work_limit = 0, True, work_limit
        settled: _Settled = () if spared is None else ((spared, False),)
        root = self._relax(settled)
        if root is None:
            raise AssertionError("all candidates together free too little")
        best, number = root.victims, 0
        branches = [(root.bound, number, settled, root.torn)]
        while branches:
            bound, _, settled, torn = heappop(branches)
            if torn is None or bound >= weight_of(best):
                break
            if self._work > self._work_limit:
                self._exact = False
                break
            for leaves in (True, False):
                branch = (*settled, (torn, leaves))
                relaxed = self._relax(branch)
                if relaxed is not None:
                    best, number = min(best, relaxed.victims, key=weight_of), number + 1
                    heappush(branches, (relaxed.bound, number, branch, relaxed.torn))
        return VictimSet(self._top, weight_of(best), best, self._exact, self._work)

    # --- One branch ------------------------------------------------------------------------------

    def _relax(self, settled: _Settled) -> _Relaxed | None:
        """Distribute the missing replicas after the branch's leaving candidates have left; None if
        that is impossible."""
        gone = [candidate for candidate, leaves in settled if leaves]
        settled_by_bin: dict[int, _Settled] = {}
        for pair in settled:
            for at in self._where(pair[0]):
                settled_by_bin[at] = (*settled_by_bin.get(at, ()), pair)
        curves = dict(self._curves)
        for at, pairs in settled_by_bin.items():
            curves[at] = self._known[at].curve(pairs)
        self._work += len(curves)
        missing = self._replicas - sum(curve.now for curve in curves.values())
        shared = self._share_out(curves, missing) if missing > 0 else []
        if shared is None:
            return None
        taken = {victim.id: victim for _, choice in shared for victim in choice.victims}
        victims = self._reprieve([*gone, *taken.values()])
        bound = weight_of(gone) - (-sum(choice.weight for _, choice in shared) >> SCALE)
        return _Relaxed(bound, victims, self._torn(shared))

    def _split(self, group: EqualCandidates) -> EqualCandidates:
        """The group with the weights that one bin pays for each candidate."""
        paid = [(self._share(candidate), candidate) for candidate in group.members]
        paid.sort(key=lambda pair: (pair[0], pair[1].weight))
        return EqualCandidates(
            group.frees, [share for share, _ in paid], [each for _, each in paid]
        )

    def _share(self, candidate: Candidate) -> int:
        """The weight that each bin pays, scaled."""
        return (candidate.weight << SCALE) // self._payers(candidate)

    def _payers(self, candidate: Candidate) -> int:
        """The number of shares: no more bins are used than there are replicas."""
        return max(min(len(self._where(candidate)), self._replicas), 1)

    def _where(self, candidate: Candidate) -> list[int]:
        return [at for at, _ in candidate.frees if at in self._inside]

    def _share_out(self, curves: _Curves, missing: int) -> _Shared | None:
        if sum(min(curve.most, missing) for curve in curves.values()) < missing:
            return None
        options: _Options = {}
        for more in range(1, missing + 1):
            for at, choice in self._lightest(curves, more, missing):
                options.setdefault(at, {})[more] = choice
        steps = missing * sum(map(len, options.values()))
        if steps > WORK_LIMIT:
            self._exact = False
            return _step_by_step(options, missing)
        self._work += steps
        return _dynamic(options, missing)

    def _lightest(self, curves: _Curves, more: int, missing: int) -> list[tuple[int, _Choice]]:
        """The `missing` bins that take `more` replicas for the least weight.

        A solution uses at most `missing` bins, so any other bin can be exchanged for an unused one
        of these. Bins are searched in the order of their lower bounds, until the next bound is no
        lower than the weights found.
        """
        least, most = BIN_LIMITS
        limit = min(max(self._work_limit // (missing * min(missing, len(curves))), least), most)
        bounds = [
            (curve.lower_bound(more), at) for at, curve in curves.items() if curve.most >= more
        ]
        heapify(bounds)
        self._work += len(bounds)
        found: list[tuple[int, int]] = []  # weight, bin: ascending
        while bounds and (len(found) < missing or bounds[0][0] < found[missing - 1][0]):
            _, at = heappop(bounds)
            self._work += curves[at].find(more, limit)
            self._exact = self._exact and curves[at].exact
            insort(found, (curves[at].choices[more].weight, at))
        return [(at, curves[at].choices[more]) for _, at in found[:missing]]

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

    def _reprieve(self, victims: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """The victims without those that are not needed; the heaviest is tried first."""
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
        return tuple(needed)


class _Bin:
    """The f of one bin, for each set of decisions about candidates in it."""

    def __init__(
        self, at: int, request: Resources, free: Resources, groups: Sequence[EqualCandidates]
    ) -> None:
        self.free = free
        self.as_it_is = _Curve(request, free, groups)
        self._at, self._request, self._groups = at, request, groups
        self._curves: dict[frozenset[tuple[str, bool]], _Curve] = {}

    def curve(self, settled: _Settled) -> "_Curve":
        key = frozenset((candidate.id, leaves) for candidate, leaves in settled)
        if key not in self._curves:
            ids = {candidate.id for candidate, _ in settled}
            gone = [candidate for candidate, leaves in settled if leaves]
            freed = (amount for each in gone for at, amount in each.frees if at == self._at)
            groups = [_without(group, ids) for group in self._groups]
            self._curves[key] = _Curve(self._request, self.free.plus(add_up(freed)), groups)
        return self._curves[key]


def _without(group: EqualCandidates, ids: set[str]) -> EqualCandidates:
    left = [
        (weight, candidate)
        for weight, candidate in zip(group.weights, group.members, strict=True)
        if candidate.id not in ids
    ]
    return EqualCandidates(group.frees, [weight for weight, _ in left], [each for _, each in left])


class _Curve:
    """One bin's f: the choices for 1, 2, … replicas more than `now`, the number that fits without
    an eviction. `choices` has those that `find` has searched."""

    def __init__(
        self, request: Resources, free: Resources, groups: Sequence[EqualCandidates]
    ) -> None:
        self.now = request.count_in(free)
        self.choices: dict[int, _Choice] = {}
        self.exact = True
        self._request, self._free = request, free
        self._groups = [group for group in groups if group.members]
        all_freed = add_up(group.frees.times(len(group.members)) for group in self._groups)
        self.most = request.count_in(free.plus(all_freed)) - self.now
        self._lower_bounds: dict[int, int] = {}
        self._bound: LowerBound | None = None

    def _need(self, more: int) -> Resources:
        return self._request.times(self.now + more).minus(self._free)

    def lower_bound(self, more: int) -> int:
        """A lower bound of the weight of the choice for `more` replicas."""
        if more not in self._lower_bounds:
            if self._bound is None:
                self._bound = LowerBound(self._groups)
            self._lower_bounds[more] = self._bound.of(self._need(more))
        return self._lower_bounds[more]

    def find(self, more: int, limit: int) -> int:
        """Search the choice for `more` replicas if it is not known yet; returns the work."""
        if more in self.choices:
            return 0
        found = cheapest_of(self._need(more), self._groups, limit)
        self.choices[more] = _Choice(found.weight, found.victims)
        self.exact = self.exact and found.proved
        return found.work


# --- Distribution over bins ----------------------------------------------------------------------


def _dynamic(options: _Options, missing: int) -> _Shared | None:
    """Dynamic programming: best[r] is the least weight for r replicas, with the path to it."""
    best: list[tuple[int, object] | None] = [(0, None), *[None] * missing]
    for at, choices in sorted(options.items()):
        before = list(best)
        for more, choice in choices.items():
            for had, entry in enumerate(before):
                if entry is None:
                    continue
                total, weight = min(had + more, missing), entry[0] + choice.weight
                known = best[total]
                if known is None or weight < known[0]:
                    best[total] = (weight, (entry[1], at, choice))
    found = best[missing]
    if found is None:
        return None
    shared, path = [], found[1]
    while path is not None:
        path, at, choice = path  # type: ignore[misc]  # a recursive tuple type has no name
        shared.append((at, choice))
    return shared


def _step_by_step(options: _Options, missing: int) -> _Shared:
    """Take the cheapest step per replica until none is missing (Sinha and Zoltners 1979)."""

    def next_step(at: int, had: int) -> None:
        choices, paid = options[at], options[at][had].weight if had else 0
        per_replica = [((choices[k].weight - paid) // (k - had), k) for k in choices if k > had]
        if per_replica:
            price, k = min(per_replica)
            heappush(steps, (price, at, had, k))

    steps: list[tuple[int, int, int, int]] = []
    for at in sorted(options):
        next_step(at, 0)
    taken: dict[int, int] = {}
    while missing > 0:
        _, at, had, k = heappop(steps)
        taken[at] = k
        missing -= k - had
        next_step(at, k)
    return [(at, options[at][k]) for at, k in taken.items()]
