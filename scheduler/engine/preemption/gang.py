"""Making room for a gang: the cheapest victims in several bins that let all its replicas in.

Let f(k) be the least weight of victims that lets a bin take k replicas more than now. So many
replicas as are missing are shared out over the bins by dynamic programming (the multiple-choice
knapsack of Kellerer, Pferschy and Pisinger, 2004, chapter 11). That is exact while victims live in
one bin each.

A victim that spans bins is split: each bin that uses its room pays a share of its weight. The
dynamic program is then a relaxation (a Lagrangian one, Fisher 1981: the shares are its prices), so
its weight is a lower bound, and its victims, all of them evicted whole, are an upper one. Where
they differ, best-first branch and bound decides on a victim for whom not all have paid: it leaves,
or it stays.

Exact, and said to be, unless the search passes its work limit or a bin's own search does
(covering.py); then the best victims so far stand. Where even the first dynamic program is too
large, steps are taken one by one, the cheapest per replica first. No victim can be spared, ever.
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

WORK_LIMIT = 300_000  # steps of a search's dynamic programs and of its bins' own searches
SCALE = 20  # bits that keep what is lost in dividing weights below one weight's unit
BIN_LIMITS = (500, 5_000)  # of one search in one bin: at least, at most

_Settled = tuple[tuple[Candidate, bool], ...]  # of whom a branch has decided whether they leave
_Curves = Mapping[int, "_Curve"]


class _Choice(NamedTuple):
    """Victims that let a bin take so many replicas more, and what the bin pays for them, scaled."""

    weight: int
    victims: tuple[Candidate, ...]


_Shared = list[tuple[int, _Choice]]  # by bin
_Offers = dict[int, dict[int, _Choice]]  # by bin: what so many replicas more cost


class _Relaxed(NamedTuple):
    """No victims that agree with the branch weigh less than `bound`; `victims` are some that do,
    and weigh just that where no candidate is `torn`: taken by some of its bins only."""

    bound: int
    victims: tuple[Candidate, ...]
    torn: Candidate | None


class GangSearch:
    """Victims of a value of at most `top` who make room for `replicas` of `request` in some bins.

    It may be asked again: what it remembers of a bin holds until it is told to `forget` it.
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
        self, usable: Usable, stays: Candidate | None = None, work_limit: int = WORK_LIMIT
    ) -> VictimSet:
        """The cheapest victims, of whom `stays` is none. All others together must make room."""
        for at in self._bins:
            if at not in self._known:
                split = [
                    self._split(stack) for stack in self._candidates.equal_candidates(at, self._top)
                ]
                self._known[at] = _Bin(at, self._request, usable(at), split)
        self._curves = {at: self._known[at].as_it_is for at in self._bins}
        self._work, self._exact, self._work_limit = 0, True, work_limit
        settled: _Settled = () if stays is None else ((stays, False),)
        root = self._relax(settled)
        if root is None:
            raise AssertionError("all candidates together make no room")
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
        """Share out what is missing once those are gone who leave; None where it cannot be done."""
        gone = [candidate for candidate, leaves in settled if leaves]
        concerned: dict[int, _Settled] = {}
        for pair in settled:
            for at in self._where(pair[0]):
                concerned[at] = (*concerned.get(at, ()), pair)
        curves = dict(self._curves)
        for at, pairs in concerned.items():
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

    def _split(self, stack: EqualCandidates) -> EqualCandidates:
        """The same, weighed by what this bin pays for each candidate."""
        paid = [(self._share(candidate), candidate) for candidate in stack.members]
        paid.sort(key=lambda pair: (pair[0], pair[1].weight))
        return EqualCandidates(
            stack.frees, [share for share, _ in paid], [each for _, each in paid]
        )

    def _share(self, candidate: Candidate) -> int:
        """What each bin pays, scaled: at most so many bins are used as there are replicas."""
        return (candidate.weight << SCALE) // self._payers(candidate)

    def _payers(self, candidate: Candidate) -> int:
        return max(min(len(self._where(candidate)), self._replicas), 1)

    def _where(self, candidate: Candidate) -> list[int]:
        return [at for at, _ in candidate.frees if at in self._inside]

    def _share_out(self, curves: _Curves, missing: int) -> _Shared | None:
        if sum(min(curve.most, missing) for curve in curves.values()) < missing:
            return None
        offers: _Offers = {}
        for more in range(1, missing + 1):
            for at, choice in self._lightest(curves, more, missing):
                offers.setdefault(at, {})[more] = choice
        steps = missing * sum(map(len, offers.values()))
        if steps > WORK_LIMIT:
            self._exact = False
            return _step_by_step(offers, missing)
        self._work += steps
        return _dynamic(offers, missing)

    def _lightest(self, curves: _Curves, more: int, missing: int) -> list[tuple[int, _Choice]]:
        """The bins that take so many replicas more for least. At most `missing` bins are used in
        all, so that any other can be exchanged for one of so many that is not. They are searched
        in the order of their floors, until those are no lower than what has been found."""
        least, most = BIN_LIMITS
        limit = min(max(self._work_limit // (missing * min(missing, len(curves))), least), most)
        floors = [(curve.floor(more), at) for at, curve in curves.items() if curve.most >= more]
        heapify(floors)
        self._work += len(floors)
        found: list[tuple[int, int]] = []  # weight, bin: ascending
        while floors and (len(found) < missing or floors[0][0] < found[missing - 1][0]):
            _, at = heappop(floors)
            self._work += curves[at].find(more, limit)
            self._exact = self._exact and curves[at].exact
            insort(found, (curves[at].choices[more].weight, at))
        return [(at, curves[at].choices[more]) for _, at in found[:missing]]

    def _torn(self, shared: _Shared) -> Candidate | None:
        """Of those for whom not all have paid, the one of whom most is unpaid."""
        spanning = [v for _, choice in shared for v in choice.victims if self._payers(v) > 1]
        paid = Counter(victim.id for victim in spanning)
        torn = [v for v in spanning if paid[v.id] < self._payers(v)]

        def unpaid(victim: Candidate) -> tuple[int, str]:
            return victim.weight - paid[victim.id] * victim.weight // self._payers(
                victim
            ), victim.id

        return max(torn, key=unpaid, default=None)

    def _reprieve(self, victims: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Spare, heaviest first, everybody without whose leaving it still fits."""
        request = self._request
        touched = {at for victim in victims for at in self._where(victim)}
        rooms = {at: self._known[at].room for at in touched}
        for victim in victims:
            for at, amount in victim.frees:
                if at in rooms:
                    rooms[at] = rooms[at].plus(amount)
        over = sum(request.count_in(room) for room in rooms.values()) - self._replicas
        over += sum(curve.now for at, curve in self._curves.items() if at not in touched)
        needed = []
        for victim in sorted(victims, key=lambda victim: victim.weight, reverse=True):
            less = {at: rooms[at].minus(freed) for at, freed in victim.frees if at in rooms}
            lost = sum(request.count_in(rooms[at]) - request.count_in(less[at]) for at in less)
            if lost > over:
                needed.append(victim)
            else:
                over -= lost
                rooms.update(less)
        return tuple(needed)


class _Bin:
    """One bin's f, for each way in which a branch may settle those who run in it."""

    def __init__(
        self, at: int, request: Resources, room: Resources, stacks: Sequence[EqualCandidates]
    ) -> None:
        self.room = room
        self.as_it_is = _Curve(request, room, stacks)
        self._at, self._request, self._stacks = at, request, stacks
        self._curves: dict[frozenset[tuple[str, bool]], _Curve] = {}

    def curve(self, settled: _Settled) -> "_Curve":
        key = frozenset((candidate.id, leaves) for candidate, leaves in settled)
        if key not in self._curves:
            ids = {candidate.id for candidate, _ in settled}
            gone = [candidate for candidate, leaves in settled if leaves]
            freed = (amount for each in gone for at, amount in each.frees if at == self._at)
            stacks = [_without(stack, ids) for stack in self._stacks]
            self._curves[key] = _Curve(self._request, self.room.plus(add_up(freed)), stacks)
        return self._curves[key]


def _without(stack: EqualCandidates, ids: set[str]) -> EqualCandidates:
    left = [
        (weight, candidate)
        for weight, candidate in zip(stack.weights, stack.members, strict=True)
        if candidate.id not in ids
    ]
    return EqualCandidates(stack.frees, [weight for weight, _ in left], [each for _, each in left])


class _Curve:
    """The choices for 1, 2, … replicas more than the `now` that the bin takes as it is; those that
    have been looked for."""

    def __init__(
        self, request: Resources, room: Resources, stacks: Sequence[EqualCandidates]
    ) -> None:
        self.now = request.count_in(room)
        self.choices: dict[int, _Choice] = {}
        self.exact = True
        self._request, self._room = request, room
        self._stacks = [stack for stack in stacks if stack.members]
        everybody = add_up(stack.frees.times(len(stack.members)) for stack in self._stacks)
        self.most = request.count_in(room.plus(everybody)) - self.now
        self._floors: dict[int, int] = {}
        self._floor: LowerBound | None = None

    def _need(self, more: int) -> Resources:
        return self._request.times(self.now + more).minus(self._room)

    def floor(self, more: int) -> int:
        """No choice for so many weighs less."""
        if more not in self._floors:
            if self._floor is None:
                self._floor = LowerBound(self._stacks)
            self._floors[more] = self._floor.of(self._need(more))
        return self._floors[more]

    def find(self, more: int, limit: int) -> int:
        """See to it that the choice for so many is there; the work that it was."""
        if more in self.choices:
            return 0
        found = cheapest_of(self._need(more), self._stacks, limit)
        self.choices[more] = _Choice(found.weight, found.victims)
        self.exact = self.exact and found.proved
        return found.work


# --- Sharing out ---------------------------------------------------------------------------------


def _dynamic(offers: _Offers, missing: int) -> _Shared | None:
    """Dynamic programming: best[r] is the least weight for r replicas, and how it came about."""
    best: list[tuple[int, object] | None] = [(0, None), *[None] * missing]
    for at, choices in sorted(offers.items()):
        before = list(best)
        for more, choice in choices.items():
            for had, entry in enumerate(before):
                if entry is None:
                    continue
                reached, weight = min(had + more, missing), entry[0] + choice.weight
                known = best[reached]
                if known is None or weight < known[0]:
                    best[reached] = (weight, (entry[1], at, choice))
    found = best[missing]
    if found is None:
        return None
    shared, path = [], found[1]
    while path is not None:
        path, at, choice = path  # type: ignore[misc]  # a recursive tuple type has no name
        shared.append((at, choice))
    return shared


def _step_by_step(offers: _Offers, missing: int) -> _Shared:
    """Again and again the step that is cheapest per replica (Sinha and Zoltners 1979)."""

    def next_step(at: int, had: int) -> None:
        choices, paid = offers[at], offers[at][had].weight if had else 0
        per_replica = [((choices[k].weight - paid) // (k - had), k) for k in choices if k > had]
        if per_replica:
            price, k = min(per_replica)
            heappush(steps, (price, at, had, k))

    steps: list[tuple[int, int, int, int]] = []
    for at in sorted(offers):
        next_step(at, 0)
    taken: dict[int, int] = {}
    while missing > 0:
        _, at, had, k = heappop(steps)
        taken[at] = k
        missing -= k - had
        next_step(at, k)
    return [(at, offers[at][k]) for at, k in taken.items()]
