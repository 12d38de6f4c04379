"""Making room for a gang: the cheapest victims in several bins that let all its replicas in.

Let f(k) be the least weight of victims that lets a bin take k replicas more than now. So many
replicas as are missing are shared out over the bins by dynamic programming (the multiple-choice
knapsack of Kellerer, Pferschy and Pisinger, 2004, chapter 11). That is exact while victims live in
one bin each.

A victim that spans bins is split: each bin pays a share of its weight. The dynamic program is then
a relaxation (a Lagrangian one, Fisher 1981: the shares are its prices), so its weight is a lower
bound, and its victims, all of them evicted whole, are an upper one. Where they differ, best-first
branch and bound decides on a victim that only some of its bins took: it leaves, or it stays.

Exact, and said to be, unless the search passes its work limit or a bin's own search does
(cover.py); then the best victims so far stand. Where even the first dynamic program is too large,
steps are taken one by one, the cheapest per replica first. No victim can be spared, ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush, nsmallest
from typing import NamedTuple

from scheduler.engine.capacity import Usable
from scheduler.engine.resources import Resources
from scheduler.engine.victims import (
    Candidate,
    Roster,
    Sacrifice,
    Stack,
    add_up,
    cheapest_of,
    weight_of,
)

WORK_LIMIT = 300_000  # steps of a search's dynamic programs and of its bins' own searches
BIN_LIMITS = (500, 5_000)  # of one search in one bin: at least, at most

_Settled = tuple[tuple[Candidate, bool], ...]  # of whom a branch has decided whether they leave
_Curves = Mapping[int, "_Curve"]


class _Choice(NamedTuple):
    """Victims that let a bin take so many replicas more, and what the bin pays for them."""

    weight: int
    victims: tuple[Candidate, ...]


_Shared = list[tuple[int, _Choice]]  # by bin


class _Relaxed(NamedTuple):
    """No victims that agree with the branch weigh less than `bound`; `victims` are some that do,
    and weigh just that where no candidate is `torn`: taken by some of its bins only."""

    bound: int
    victims: tuple[Candidate, ...]
    torn: Candidate | None


class GangSearch:
    """Victims of a value of at most `top` who make room for replicas of a request in some bins.

    It may be asked again: what it remembers of a bin holds until it is told to `forget` it.
    """

    def __init__(
        self, request: Resources, bins: Iterable[int], usable: Usable, roster: Roster, top: int
    ) -> None:
        self._request, self._usable, self._roster, self._top = request, usable, roster, top
        self._bins = sorted(bins)
        self._inside = frozenset(self._bins)
        self._known: dict[int, _Bin] = {}
        self._work, self._exact, self._work_limit = 0, True, WORK_LIMIT

    def forget(self, bins: Iterable[int]) -> None:
        for at in bins:
            self._known.pop(at, None)

    def cheapest(
        self, replicas: int, stays: Candidate | None = None, work_limit: int = WORK_LIMIT
    ) -> Sacrifice:
        """The cheapest victims, of whom `stays` is none. All others together must make room."""
        self._work, self._exact, self._work_limit = 0, True, work_limit
        settled: _Settled = () if stays is None else ((stays, False),)
        root = self._relax(settled, replicas)
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
                relaxed = self._relax(branch, replicas)
                if relaxed is not None:
                    best, number = min(best, relaxed.victims, key=weight_of), number + 1
                    heappush(branches, (relaxed.bound, number, branch, relaxed.torn))
        return Sacrifice(self._top, weight_of(best), best, self._exact, self._work)

    # --- One branch ------------------------------------------------------------------------------

    def _relax(self, settled: _Settled, replicas: int) -> _Relaxed | None:
        """Share out what is missing once those are gone who leave; None where it cannot be done."""
        gone = [candidate for candidate, leaves in settled if leaves]
        curves = {at: self._bin(at).curve(settled) for at in self._bins}
        missing = replicas - sum(curve.now for curve in curves.values())
        shared: _Shared | None = []
        if missing > 0:
            self._extend(curves.values(), missing)
            shared = self._share_out(curves, missing)
        if shared is None:
            return None
        taken = {victim.id: victim for _, choice in shared for victim in choice.victims}
        victims = self._reprieve([*gone, *taken.values()], replicas)
        bound = weight_of(gone) + sum(choice.weight for _, choice in shared)
        return _Relaxed(bound, victims, self._torn(shared))

    def _bin(self, at: int) -> "_Bin":
        if at not in self._known:
            stacks = self._roster.offers(at, self._top)
            split = [self._split(at, stack) for stack in stacks]
            self._known[at] = _Bin(at, self._request, self._usable(at), split)
        return self._known[at]

    def _split(self, at: int, stack: Stack) -> Stack:
        """The same, weighed by what this bin pays: its part of a candidate's replicas here."""
        if all(len(candidate.frees) == 1 for candidate in stack.members):
            return stack
        paid = [(self._share(candidate, at), candidate) for candidate in stack.members]
        paid.sort(key=lambda pair: (pair[0], pair[1].weight))
        return Stack(stack.frees, [weight for weight, _ in paid], [each for _, each in paid])

    def _share(self, candidate: Candidate, at: int) -> int:
        """Shares add up to the weight over the bins of this search in which it runs."""
        inside = self._where(candidate)
        share, rest = divmod(candidate.weight, len(inside))
        return share + rest if at == inside[0] else share

    def _where(self, candidate: Candidate) -> list[int]:
        return [at for at, _ in candidate.frees if at in self._inside]

    def _extend(self, curves: Iterable["_Curve"], missing: int) -> None:
        least, most = BIN_LIMITS
        limit = min(max(self._work_limit // (missing * len(self._bins)), least), most)
        for curve in curves:
            self._work += curve.extend(missing, limit)
            self._exact = self._exact and curve.exact

    def _share_out(self, curves: _Curves, missing: int) -> _Shared | None:
        offers: _Offers = {at: curve.choices[:missing] for at, curve in curves.items()}
        if sum(map(len, offers.values())) < missing:
            return None
        offers = _promising(offers, missing)
        steps = missing * sum(map(len, offers.values()))
        if steps > WORK_LIMIT:
            self._exact = False
            return _step_by_step(offers, missing)
        self._work += steps
        return _lightest(offers, missing)

    def _torn(self, shared: _Shared) -> Candidate | None:
        """Of those whom only some of their bins took, the one of whom most is still unpaid."""
        takers: dict[str, list[int]] = {}
        spanning: dict[str, Candidate] = {}
        for at, choice in shared:
            for victim in choice.victims:
                if len(victim.frees) > 1:
                    spanning[victim.id] = victim
                    takers.setdefault(victim.id, []).append(at)
        unpaid = {
            id_: victim.weight - sum(self._share(victim, at) for at in takers[id_])
            for id_, victim in spanning.items()
        }
        torn = max(unpaid, key=lambda id_: (unpaid[id_], id_), default=None)
        return None if torn is None or unpaid[torn] == 0 else spanning[torn]

    def _reprieve(self, victims: Sequence[Candidate], replicas: int) -> tuple[Candidate, ...]:
        """Spare, heaviest first, everybody without whose leaving it still fits."""
        request = self._request
        rooms = {at: self._bin(at).room for at in self._bins}
        for victim in victims:
            for at, amount in victim.frees:
                if at in rooms:
                    rooms[at] = rooms[at].plus(amount)
        over = sum(request.count_in(room) for room in rooms.values()) - replicas
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
        self, at: int, request: Resources, room: Resources, stacks: Sequence[Stack]
    ) -> None:
        self.room = room
        self._at, self._request, self._stacks = at, request, stacks
        self._ids = {candidate.id for stack in stacks for candidate in stack.members}
        self._curves: dict[frozenset[tuple[str, bool]], _Curve] = {}

    def curve(self, settled: _Settled) -> "_Curve":
        mine = [pair for pair in settled if pair[0].id in self._ids]
        key = frozenset((candidate.id, leaves) for candidate, leaves in mine)
        if key not in self._curves:
            ids = {candidate.id for candidate, _ in mine}
            gone = [candidate for candidate, leaves in mine if leaves]
            freed = (amount for each in gone for at, amount in each.frees if at == self._at)
            stacks = [_without(stack, ids) for stack in self._stacks] if ids else self._stacks
            self._curves[key] = _Curve(self._request, self.room.plus(add_up(freed)), stacks)
        return self._curves[key]


def _without(stack: Stack, ids: set[str]) -> Stack:
    left = [
        (weight, candidate)
        for weight, candidate in zip(stack.weights, stack.members, strict=True)
        if candidate.id not in ids
    ]
    return Stack(stack.frees, [weight for weight, _ in left], [each for _, each in left])


class _Curve:
    """The choices for 1, 2, … replicas more than the `now` that the bin takes as it is."""

    def __init__(self, request: Resources, room: Resources, stacks: Sequence[Stack]) -> None:
        self.now = request.count_in(room)
        self.choices: list[_Choice] = []
        self.exact = True
        self._request, self._room = request, room
        self._stacks = [stack for stack in stacks if stack.members]
        everybody = add_up(stack.frees.times(len(stack.members)) for stack in self._stacks)
        self._most = request.count_in(room.plus(everybody)) - self.now

    def extend(self, missing: int, limit: int) -> int:
        """See to it that there are choices for as many as are missing, if possible; the work."""
        work = 0
        while len(self.choices) < min(missing, self._most):
            more = len(self.choices) + 1
            need = self._request.times(self.now + more).minus(self._room)
            found = cheapest_of(need, self._stacks, limit)
            self.choices.append(_Choice(found.weight, found.victims))
            self.exact = self.exact and found.proved
            work += found.work
        return work


# --- Sharing out ---------------------------------------------------------------------------------

_Offers = Mapping[int, Sequence[_Choice]]  # by bin: what 1, 2, … replicas more cost


def _promising(offers: _Offers, missing: int) -> _Offers:
    """Only bins that are among the lightest for some number of replicas: at most `missing` bins
    are used, so that any other can be exchanged for one of these that is not."""
    if len(offers) <= missing:
        return offers
    bins: set[int] = set()
    for k in range(missing):
        able = (at for at, choices in offers.items() if len(choices) > k)
        bins.update(nsmallest(missing, able, key=lambda at: (offers[at][k].weight, at)))
    return {at: offers[at] for at in sorted(bins)}


def _lightest(offers: _Offers, missing: int) -> _Shared | None:
    """Dynamic programming: best[r] is the least weight for r replicas, and how it came about."""
    best: list[tuple[int, object] | None] = [(0, None), *[None] * missing]
    for at, choices in offers.items():
        before = list(best)
        for more, choice in enumerate(choices, start=1):
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

    def step(at: int, had: int) -> tuple[int, int, int, int]:
        choices, paid = offers[at], offers[at][had - 1].weight if had else 0
        return min(
            ((choices[k - 1].weight - paid) // (k - had), at, had, k)
            for k in range(had + 1, len(choices) + 1)
        )

    steps = [step(at, 0) for at, choices in offers.items() if choices]
    heapify(steps)
    taken: dict[int, int] = {}
    while missing > 0:
        _, at, had, k = heappop(steps)
        taken[at] = k
        missing -= k - had
        if k < len(offers[at]):
            heappush(steps, step(at, k))
    return [(at, offers[at][k - 1]) for at, k in taken.items()]
