"""A local search for cheap victims of many replicas with different requests.

Each replica is assigned to a bin, and the victims of a bin are the cheapest that free what its
replicas lack. A step moves some replicas to one bin together, since one large victim may be cheaper
than many small ones, though for a single replica it is not. The first assignment is that of a plan,
so no later one is dearer than its victims.
"""

from collections.abc import Sequence
from itertools import islice

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates
from scheduler.engine.preemption.curves import worth_of
from scheduler.engine.preemption.victims import Candidate, VictimSet
from scheduler.engine.resources import ZERO, Resources, add_up

Item = tuple[Resources, frozenset[int], int]  # a replica's request, its possible bins, its bin
_Key = tuple[int, Resources]  # a bin, and the sum of the requests in it

PASSES = 4
MOST_BINS = 64  # to which replicas are moved
MOST_MOVED = 64  # replicas, in one step
BIN_LIMIT = 2_000  # the work limit of a search in one bin
COST_STEPS, CANDIDATE_STEPS = 10, 5  # of such a search, and of each candidate of the bin
ITEM_STEPS, MOVE_STEPS = 1, 4  # of looking at a replica, and of trying to move it


class Assignment:
    """`capacity` and `candidates` are read, not changed. Steps count in the capacity's budget."""

    def __init__(
        self, items: Sequence[Item], below: int, capacity: Capacity, candidates: Candidates
    ) -> None:
        self.bins = [at for _, _, at in items]
        self._items, self._below, self._free = items, below, capacity.free
        self._candidates, self._budget = candidates, capacity.budget
        self._loads: dict[int, Resources] = {}
        for request, _, at in items:
            self._loads[at] = self._load(at).plus(request)
        self._found: dict[_Key, VictimSet | None] = {}

    def is_possible(self) -> bool:
        return all(self._weight(at, load) is not None for at, load in self._loads.items())

    def victims(self) -> list[Candidate]:
        """Each one once, also where it is in several bins."""
        sets = (self._cheapest(at, load) for at, load in sorted(self._loads.items()))
        return list({each.id: each for found in sets if found for each in found.victims}.values())

    def improve(self) -> None:
        """Move replicas as long as that makes the victims lighter, and steps are left."""
        for _ in range(PASSES):
            moved = False
            for at in self._worth_a_move():
                if self._budget.spent > self._budget.exact:
                    return
                moved |= self._gather(at)
            if not moved:
                return

    # --- One step --------------------------------------------------------------------------------

    def _worth_a_move(self) -> list[int]:
        """The bins in which some candidate frees much for its weight, the best first."""
        want = add_up(request for request, _, _ in self._items)
        best: dict[int, int] = {}
        self._budget.spent += len(self._free)
        for at in sorted({each for _, suited, _ in self._items for each in suited}):
            first = islice(self._candidates.lightest_first(at, self._below - 1), MOST_MOVED)
            prices = [
                (weight << 20) // (worth_of(amount.at_most(want), want) + 1)
                for weight, _, amount in first
            ]
            self._budget.spent += CANDIDATE_STEPS * len(prices)
            if prices:
                best[at] = min(prices)
        return sorted(best, key=lambda at: (best[at], at))[:MOST_BINS]

    def _gather(self, at: int) -> bool:
        """Move the replicas to the bin whose move saves most; whether there are any."""
        self._budget.spent += ITEM_STEPS * len(self._items)
        savings: dict[tuple[int, Resources], int] = {}  # of equal replicas once
        movable = []
        for number, (request, suited, _) in enumerate(self._items):
            source = self.bins[number]
            if source != at and at in suited:
                if (source, request) not in savings:
                    savings[source, request] = self._saving(number)
                if (saved := savings[source, request]) > 0:
                    movable.append((saved, number))
        movable.sort(reverse=True)
        by_saving = [number for _, number in movable[:MOST_MOVED]]
        by_size = sorted(by_saving, key=lambda number: self._items[number][0])
        orders = {self._moves(each): each for each in (by_size, by_saving)}  # equal ones once
        least, chosen = min(
            (self._best_part(at, numbers) for numbers in reversed(orders.values())),
            key=lambda part: part[0],
        )
        if least >= 0:
            return False
        for number in chosen:
            self._move(self._loads, number, at)
            self.bins[number] = at
        return True

    def _moves(self, numbers: list[int]) -> tuple[tuple[int, Resources], ...]:
        """What tells the moves of these replicas apart: their bins and their requests."""
        return tuple((self.bins[number], self._items[number][0]) for number in numbers)

    def _best_part(self, at: int, numbers: list[int]) -> tuple[int, list[int]]:
        """The change in weight, at most 0, by moving some of the first of these to the bin."""
        self._budget.spent += MOVE_STEPS * len(numbers) + len(self._loads) // 8
        loads, moved = dict(self._loads), list[int]()
        change, least, chosen = 0, 0, list[int]()
        for number in numbers:
            source, request = self.bins[number], self._items[number][0]
            more, less = loads.get(at, ZERO).plus(request), loads[source].minus(request)
            after = self._weight(at, more)
            if after is None:
                continue
            change += after - self._known_weight(at, loads.get(at, ZERO))
            change += self._known_weight(source, less)
            change -= self._known_weight(source, loads[source])
            self._move(loads, number, at)
            moved.append(number)
            if change < least:
                least, chosen = change, moved.copy()
        return least, chosen

    def _move(self, loads: dict[int, Resources], number: int, target: int) -> None:
        request, source = self._items[number][0], self.bins[number]
        loads[source] = loads[source].minus(request)
        loads[target] = loads.get(target, ZERO).plus(request)

    def _saving(self, number: int) -> int:
        """The weight that its bin would save without the replica."""
        at, load = self.bins[number], self._load(self.bins[number])
        less = load.minus(self._items[number][0])
        return self._known_weight(at, load) - self._known_weight(at, less)

    # --- The victims of one bin ------------------------------------------------------------------

    def _load(self, at: int) -> Resources:
        return self._loads.get(at, ZERO)

    def _known_weight(self, at: int, load: Resources) -> int:
        """The weight for what the plan, or a step from it, has already assigned."""
        weight = self._weight(at, load)
        if weight is None:
            raise AssertionError("what a bin has been assigned fits in it")
        return weight

    def _weight(self, at: int, load: Resources) -> int | None:
        """The weight of the bin's victims; None if even all candidates free too little."""
        if load.fits_in(self._free[at]):
            return 0
        found = self._cheapest(at, load)
        return None if found is None else found.weight

    def _cheapest(self, at: int, load: Resources) -> VictimSet | None:
        if load.fits_in(self._free[at]):
            return None
        key = (at, load)
        if key not in self._found:
            self._budget.spent += COST_STEPS + CANDIDATE_STEPS * self._candidates.count(at)
            need = load.minus(self._free[at])
            found = self._candidates.cheapest_in(at, need, self._below, BIN_LIMIT)
            self._budget.spent += 0 if found is None else found.work
            self._found[key] = found
        return self._found[key]
