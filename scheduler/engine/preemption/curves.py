"""The price of room in one bin: f(k), the least weight of victims that make room for k replicas
more; or in all, where the bin itself has a weight too.

Where one resource binds, which is so in most bins, a single dynamic program over its amounts gives
f for all k. Elsewhere covering.py searches each f(k) that is asked for.
"""

from collections.abc import Iterator, Sequence
from math import gcd
from operator import itemgetter
from typing import NamedTuple

from scheduler.engine.preemption.candidates import cheapest_of
from scheduler.engine.preemption.lower_bound import LowerBound
from scheduler.engine.preemption.victims import Candidate, EqualCandidates
from scheduler.engine.resources import Resources, add_up

MOST_CELLS = 20_000  # of a bin's dynamic program
CELLS_PER_STEP = 6
FIND_STEPS = 30

Settled = tuple[tuple[Candidate, bool], ...]  # a branch's decisions: whether each candidate leaves


class Choice(NamedTuple):
    """Victims that let a bin take some replicas more, and the weight that the bin pays, scaled."""

    weight: int
    victims: tuple[Candidate, ...]


class Bin:
    """The f of one bin, for each set of decisions about candidates in it."""

    def __init__(
        self,
        at: int,
        request: Resources,
        replicas: int,
        free: Resources,
        groups: Sequence[EqualCandidates],
        *,
        own_weight: int = 0,
    ) -> None:
        self.free = free
        self.as_it_is = Curve(request, replicas, free, groups, own_weight=own_weight)
        self._at, self._request, self._replicas, self._groups = at, request, replicas, groups
        self._own_weight = own_weight
        self._curves: dict[frozenset[tuple[str, bool]], Curve] = {}

    def curve(self, settled: Settled) -> "Curve":
        key = frozenset((candidate.id, leaves) for candidate, leaves in settled)
        if key not in self._curves:
            ids = {candidate.id for candidate, _ in settled}
            gone = [candidate for candidate, leaves in settled if leaves]
            freed = (amount for each in gone for at, amount in each.frees if at == self._at)
            groups = [_without(group, ids) for group in self._groups]
            free = self.free.plus(add_up(freed))
            self._curves[key] = Curve(
                self._request, self._replicas, free, groups, own_weight=self._own_weight
            )
        return self._curves[key]


def _without(group: EqualCandidates, ids: set[str]) -> EqualCandidates:
    left = [
        (weight, candidate)
        for weight, candidate in zip(group.weights, group.members, strict=True)
        if candidate.id not in ids
    ]
    return EqualCandidates(group.frees, [weight for weight, _ in left], [each for _, each in left])


class Curve:
    """One bin's f: the choices for 1, 2, … replicas more than `now`, the number that fits without
    an eviction. `choices` has those that `find` has searched.

    With an `own_weight`, which the bin costs if it takes any replica, the choices are for so many
    replicas in all: for up to `without` of them there are no victims. The largest is for `most`.
    """

    def __init__(
        self,
        request: Resources,
        replicas: int,
        free: Resources,
        groups: Sequence[EqualCandidates],
        *,
        own_weight: int = 0,
    ) -> None:
        self.now = request.count_in(free)
        self.without = min(self.now, replicas) if own_weight else 0
        self.own_weight = own_weight
        self.choices: dict[int, Choice] = {}
        self.exact = True
        self._request, self._free = request, free
        self._groups = [group for group in groups if group.members]
        all_freed = add_up(group.frees.times(len(group.members)) for group in self._groups)
        room = request.count_in(free.plus(all_freed)) - self.now
        self.most = min(self.without + room, replicas)
        self._lower_bounds: dict[int, int] = {}
        self._bound: LowerBound | None = None
        self._greedy: dict[int, int] = {}
        self._leaving: dict[int, int] = {}  # by number of replicas: that of candidates in _by_price
        self._is_tabulated = False

    def _need(self, more: int) -> Resources:
        return self._request.times(self.now - self.without + more).minus(self._free)

    def lower_bound(self, more: int) -> int:
        """A lower bound of the weight of the choice for `more` replicas, of which some have to be
        made room for. Without the weight of the lightest candidate it would be convex."""
        if more <= self.without:
            return self.own_weight
        if more not in self._lower_bounds:
            if self._bound is None:
                self._bound = LowerBound(self._groups)
            self._lower_bounds[more] = self.own_weight + self._bound.of(self._need(more))
        return self._lower_bounds[more]

    def greedy(self) -> dict[int, int]:
        """Upper bounds of f: candidates leave by weight per amount until `most` replicas fit."""
        if not self._greedy:
            free, weight = self._free, self.own_weight
            if self.without:
                self._greedy[self.without], self._leaving[self.without] = weight, 0
            for number, (_, paid, amount, _) in enumerate(self._by_price(), start=1):
                free, weight = free.plus(amount), weight + paid
                more = self._request.count_in(free) - self.now + self.without
                more = min(more, self.most)
                if more and more not in self._greedy:
                    self._greedy[more] = weight
                    self._leaving[more] = number
        return self._greedy

    def greedy_choice(self, more: int) -> Choice:
        """The victims of one of these bounds."""
        number = self._leaving[more]
        return Choice(self._greedy[more], tuple(each for *_, each in self._by_price()[:number]))

    def _by_price(self) -> list[tuple[int, int, Resources, Candidate]]:
        """(Weight per worth, weight, amount, candidate) of each candidate, ascending."""
        need = self._need(self.most)
        return sorted(
            (
                (
                    (weight << 40) // (worth_of(group.frees, need) + 1),
                    weight,
                    group.frees,
                    candidate,
                )
                for group in self._groups
                for weight, candidate in zip(group.weights, group.members, strict=True)
            ),
            key=itemgetter(0, 1),
        )

    def find(self, more: int, limit: int) -> int:
        """Search the choice for `more` replicas if it is not known yet; returns the work."""
        if more in self.choices:
            return 0
        if more <= self.without:
            self.choices[more] = Choice(self.own_weight, ())
            return 1
        work = FIND_STEPS + 4 * len(self._groups)
        work += 0 if self._is_tabulated else self._tabulate()
        if more in self.choices:
            return work
        found = cheapest_of(self._need(more), self._groups, limit)
        self.choices[more] = Choice(self.own_weight + found.weight, found.victims)
        self.exact = self.exact and found.proved
        return work + found.work

    # --- One resource ----------------------------------------------------------------------------

    def _tabulate(self) -> int:
        """Find all choices at once where one resource binds; returns the work."""
        self._is_tabulated = True
        binding = self._binding()
        if binding is None:
            return 1
        items = [
            (group.frees[binding], weight, candidate)
            for group in self._groups
            if group.frees[binding]
            for weight, candidate in zip(group.weights, group.members, strict=True)
        ]
        unit = gcd(*(amount for amount, _, _ in items))
        numbers = range(self.without + 1, self.most + 1)
        cells = [-(-self._need(more)[binding] // unit) for more in numbers]
        if cells[-1] * len(items) > MOST_CELLS:
            return 1
        best = _cover_each(cells[-1], [(amount // unit, w, each) for amount, w, each in items])
        for more, cell in zip(numbers, cells, strict=True):
            weight, path = best[cell]
            self.choices[more] = Choice(self.own_weight + weight, tuple(_along(path)))
        return 1 + cells[-1] * len(items) // CELLS_PER_STEP

    def _binding(self) -> int | None:
        """The resource that is enough only where all others are; None if there is none.

        For one replica, each candidate and the free amount give no less of any other resource.
        """
        want, need = self._request, self._need(self.most)
        missing = [d for d, amount in enumerate(need) if amount > 0]
        amounts = [self._free, *(group.frees for group in self._groups)]
        for d in missing:
            if want[d] and all(a[e] * want[d] >= a[d] * want[e] for a in amounts for e in missing):
                return d
        return None


def worth_of(frees: Resources, need: Resources) -> int:
    """How much of the missing amounts it gives, in 2**-20 of each."""
    return sum((min(f, n) << 20) // n for f, n in zip(frees, need, strict=True) if n > 0)


_Path = tuple[object, Candidate] | None


def _cover_each(cells: int, items: list[tuple[int, int, Candidate]]) -> list[tuple[int, _Path]]:
    """By amount, the least weight of items that together give it, with the path to it."""
    beyond = sum(weight for _, weight, _ in items) + 1
    best: list[tuple[int, _Path]] = [(0, None), *[(beyond, None)] * cells]
    for amount, weight, candidate in items:
        for cell in range(cells, 0, -1):
            without, path = best[cell - amount if cell > amount else 0]
            if without + weight < best[cell][0]:
                best[cell] = (without + weight, (path, candidate))
    return best


def _along(path: _Path) -> Iterator[Candidate]:
    while path is not None:
        path, candidate = path  # type: ignore[assignment]  # a recursive tuple type has no name
        yield candidate
