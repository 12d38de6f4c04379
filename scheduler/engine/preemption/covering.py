"""Minimum-cost covering: the cheapest items that together give what is short.

Items come in groups that give the same amounts; of a group the lightest are taken first, so a
solution is a count per group. Solved by depth-first branch and bound (Land and Doig 1960 for the
scheme); the bound is the dearest of the single dimensions' linear relaxations (Dantzig 1957).

What a quick search leaves open is searched again with prices for the dimensions (lagrangian.py):
they lead to a better cover to beat, settle most of the items, and add one more line to the bound:
all dimensions in one, weighed by their prices.

Exact unless the search passes its work limit; then the best cover so far stands, never worse than
the greedy one with reprieve, from which it starts. No item in an answer can be spared.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

from scheduler.engine.preemption.greedy import (
    Amounts,
    Counts,
    Group,
    filled,
    greedy,
    improved,
    left_of,
    less,
    met,
    spared,
    weight_of,
)
from scheduler.engine.preemption.lagrangian import ROUNDS, core, prices

WORK_LIMIT = 60_000
QUICK_LIMIT = 3_000  # before prices are worth their while


class Cover(NamedTuple):
    """How many items of each group; False in `proved` where the work limit cut the search short."""

    counts: Counts
    proved: bool
    work: int


def cover(short: Amounts, groups: Sequence[Group], work_limit: int = WORK_LIMIT) -> Cover:
    """How many items of each group to take, so that they give `short` and weigh least.

    All amounts in `short` are positive, and all items together give them. `work_limit` counts
    search nodes and the offers that their bounds look at.
    """
    useful, owners = _useful(short, groups)
    best = greedy(short, useful)
    useful, owners, best = _no_heavier(useful, owners, best)
    if len(useful) == 1:
        found = Cover(best, proved=True, work=1)
    else:
        found = _cover(short, useful, best, work_limit)
    counts = [0] * len(groups)
    for group_owners, count in zip(owners, found.counts, strict=True):
        for owner in group_owners[:count]:
            counts[owner] += 1
    return found._replace(counts=counts)


_Owners = list[list[int]]  # by group, then item: the group from which it comes


def _useful(short: Amounts, groups: Sequence[Group]) -> tuple[list[Group], _Owners]:
    """The groups by what they give of what is short.

    No item counts for more than what is short, no group for more items than that takes; groups
    that are the same then become one.
    """
    items: dict[Amounts, list[tuple[int, int]]] = {}
    for at, group in enumerate(groups):
        gives = tuple(min(g, s) for g, s in zip(group.gives, short, strict=True))
        enough = group.weights[: _enough(short, gives)]
        items.setdefault(gives, []).extend((weight, at) for weight in enough)
    lightest = {gives: sorted(each)[: _enough(short, gives)] for gives, each in items.items()}
    useful = [Group(gives, [weight for weight, _ in each]) for gives, each in lightest.items()]
    return useful, [[at for _, at in each] for each in lightest.values()]


def _no_heavier(
    groups: list[Group], owners: _Owners, best: Counts
) -> tuple[list[Group], _Owners, Counts]:
    """Only items that weigh no more than a whole cover does."""
    most = weight_of(groups, best)
    left = [
        (Group(group.gives, group.weights[:n]), each, count)
        for group, each, count in zip(groups, owners, best, strict=True)
        if (n := bisect_right(group.weights, most))
    ]
    return [group for group, _, _ in left], [e for _, e, _ in left], [c for _, _, c in left]


def _cover(short: Amounts, groups: list[Group], best: Counts, work_limit: int) -> Cover:
    beat, limit = weight_of(groups, best), min(work_limit, QUICK_LIMIT)
    quick = _search(short, groups, beat, _Bound(short, groups), limit)
    best = quick.counts or best
    if quick.proved:
        return Cover(best, proved=True, work=quick.work)
    priced = _priced(short, groups, spared(short, groups, best), work_limit - quick.work)
    return Cover(spared(short, groups, priced.counts), priced.proved, quick.work + priced.work)


def _enough(short: Amounts, gives: Amounts) -> int:
    """With so many items the group has given all it can of what is short."""
    return max((-(-s // g) for s, g in zip(short, gives, strict=True) if g and s > 0), default=0)


# --- The cheapest ---------------------------------------------------------------------------------


def _priced(short: Amounts, groups: list[Group], best: Counts, work_limit: int) -> Cover:
    """Search again, with prices, what they leave open."""

    def weight(counts: Sequence[int]) -> int:
        return weight_of(groups, counts)

    items = sum(len(group.weights) for group in groups)
    rounds = min(max(work_limit, 0) // (2 * items), ROUNDS)
    spent = 4 * rounds * items  # about what two times prices takes, in the search's steps
    mu = prices(short, groups, weight(best), rounds)
    other = filled(short, groups, [0] * len(groups), mu)
    best = improved(short, groups, min(best, other or best, key=weight), mu, work_limit)
    mu = prices(short, groups, weight(best), rounds)
    bounds = core(short, groups, mu, weight(best))
    if bounds is None:
        return Cover(best, proved=True, work=spent)
    settled = [least for least, _ in bounds]
    rest = [Group(g.gives, g.weights[a:b]) for g, (a, b) in zip(groups, bounds, strict=True)]
    left, beat = left_of(short, groups, settled), weight(best) - weight(settled)
    more, proved, work = _search(left, rest, beat, _Bound(short, rest, mu), work_limit)
    if more is not None:
        best = [count + extra for count, extra in zip(settled, more, strict=True)]
    return Cover(best, proved, spent + work)


class _Found(NamedTuple):
    """None in `counts` where no cover beats the given one, or none was found in time."""

    counts: Counts | None
    proved: bool
    work: int


def _search(
    left: Amounts, groups: list[Group], beat: int, bound: "_Bound", work_limit: int
) -> _Found:
    """The lightest cover of what is left that weighs less than `beat`. Branches on how many of
    each group to take, most first."""
    sums, order = [_running_sums(group.weights) for group in groups], bound.order
    best: Counts | None = None
    # A node: depth in `order`, what is still short, weight so far, and the counts as a linked list.
    stack: list[tuple[int, Amounts, int, tuple[int, object] | None]] = [(0, left, 0, None)]
    work = 0
    while stack and work <= work_limit:
        depth, left, weight, path = stack.pop()
        work += 1
        if met(left):
            if weight < beat:
                beat, best = weight, _counts(path, order)
            continue
        if depth == len(order):
            continue
        hopeless, looked = bound.reaches(left, depth, beat - weight)
        work += looked
        if hopeless:
            continue
        at = order[depth]
        gives = groups[at].gives
        most = min(_enough(left, gives), len(groups[at].weights))
        stack += [  # the last one is looked at first
            (depth + 1, less(left, gives, count), weight + sums[at][count], (count, path))
            for count in range(most + 1)
        ]
    return _Found(best, not stack, work)


def _running_sums(weights: Sequence[int]) -> list[int]:
    sums = [0]
    for weight in weights:
        sums.append(sums[-1] + weight)
    return sums


def _counts(path: tuple[int, object] | None, order: list[int]) -> Counts:
    taken = []
    while path is not None:
        count, path = path  # type: ignore[assignment]  # a recursive tuple type has no name
        taken.append(count)
    counts = [0] * len(order)
    for at, count in zip(order, reversed(taken), strict=False):
        counts[at] = count
    return counts


# --- The bound ------------------------------------------------------------------------------------

_Line = list[tuple[int, int, int, int]]  # weight per amount (scaled), depth, amount, weight


class _Bound:
    """Linear relaxations, each of one line of amounts: of all dimensions weighed by their prices
    (where there are any), and of each single one. Every item that gives some, lightest per amount
    first. `order` is that of branching: who gives most of what is short."""

    def __init__(self, short: Amounts, groups: list[Group], mu: Sequence[int] = ()) -> None:
        def worth(at: int) -> int:
            return sum((g << 32) // s for g, s in zip(groups[at].gives, short, strict=True))

        self.order = sorted(range(len(groups)), key=lambda at: (-worth(at), at))
        ordered = [groups[at] for at in self.order]
        self._prices = [(m << 30) // s for m, s in zip(mu or [0] * len(short), short, strict=True)]
        weighed = [sum(map(mul, self._prices, group.gives)) for group in ordered]
        singles = [[group.gives[d] for group in ordered] for d in range(len(short))]
        self._lines = [_line(amounts, ordered) for amounts in [weighed, *singles]]

    def reaches(self, short: Amounts, depth: int, limit: int) -> tuple[bool, int]:
        """Whether every cover from `depth` on weighs at least `limit`, as far as the bound tells,
        and how many offers it took to tell."""
        weighed = sum(price * s for price, s in zip(self._prices, short, strict=True) if s > 0)
        looked = 0
        for need, line in zip((weighed, *short), self._lines, strict=True):
            spent = 0
            for _, group_depth, amount, weight in line:
                if need <= 0 or spent >= limit:
                    break
                looked += 1
                if group_depth >= depth:
                    spent += weight * min(amount, need) // amount
                    need -= amount  # noqa: PLW2901  # the line's own running need
            if need > 0 or spent >= limit:
                return True, looked
        return False, looked


def _line(amounts: Sequence[int], groups: Sequence[Group]) -> _Line:
    """2**150 tells apart any two ratios of amounts below 2**75, so the order is exact."""
    return sorted(
        ((weight << 150) // amount, depth, amount, weight)
        for depth, (amount, group) in enumerate(zip(amounts, groups, strict=True))
        if amount
        for weight in group.weights
    )
