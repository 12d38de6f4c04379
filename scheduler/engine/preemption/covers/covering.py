"""Minimum-cost covering: the lightest items that together give the missing amounts.

Items come in groups that give the same amounts. A solution takes the lightest items of a group
first, so it is a count per group. The search is depth-first branch and bound (Land and Doig 1960);
the bound is the maximum of the single dimensions' linear relaxations (Dantzig 1957).

A problem that a quick search leaves open is searched again with prices of the dimensions
(lagrangian.py). The prices lead to a better first cover, decide most of the items, and add one more
relaxation to the bound: all dimensions in one, weighted by their prices.

The answer is exact unless the search passes its work limit. Then it is the best cover found, which
is never heavier than the greedy one that the search starts from. No item in an answer can be
spared.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

from scheduler.engine.preemption.covers.greedy import (
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
from scheduler.engine.preemption.covers.lagrangian import ROUNDS, core, prices

WORK_LIMIT = 60_000
QUICK_LIMIT = 3_000  # of the search without prices
IMPROVE_STEPS = 2  # of each group, when an item is exchanged


class Cover(NamedTuple):
    """The number of items of each group. `proved` is False if the work limit cut the search off."""

    counts: Counts
    proved: bool
    work: int


def cover(short: Amounts, groups: Sequence[Group], work_limit: int = WORK_LIMIT) -> Cover:
    """The lightest cover of `short`, as a number of items per group.

    All amounts in `short` are positive, and all items together give them. `work_limit` counts
    search nodes, and the items that their bounds examine.
    """
    useful, origins = _useful(short, groups)
    best = greedy(short, useful)
    useful, origins, best = _no_heavier(useful, origins, best)
    if len(useful) == 1:
        found = Cover(best, proved=True, work=1)
    else:
        found = _cover(short, useful, best, work_limit)
    counts = [0] * len(groups)
    for group_origins, count in zip(origins, found.counts, strict=True):
        for origin in group_origins[:count]:
            counts[origin] += 1
    return found._replace(counts=counts)


_Origins = list[list[int]]  # by group, then item: the number of the item's group in the problem


def _useful(short: Amounts, groups: Sequence[Group]) -> tuple[list[Group], _Origins]:
    """The groups, merged by the missing amounts that their items give.

    Amounts beyond `short` are cut off, so that more groups give the same. A group keeps only as
    many items as can be useful.
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
    groups: list[Group], origins: _Origins, best: Counts
) -> tuple[list[Group], _Origins, Counts]:
    """The groups without items that are heavier than the whole cover `best`."""
    most = weight_of(groups, best)
    left = [
        (Group(group.gives, group.weights[:n]), each, count)
        for group, each, count in zip(groups, origins, best, strict=True)
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
    """The number of items after which the group gives no more of the missing amounts."""
    return max((-(-s // g) for s, g in zip(short, gives, strict=True) if g and s > 0), default=0)


# --- The search -----------------------------------------------------------------------------------


def _priced(short: Amounts, groups: list[Group], best: Counts, work_limit: int) -> Cover:
    """Search with prices: among the items that the prices leave undecided."""

    def weight(counts: Sequence[int]) -> int:
        return weight_of(groups, counts)

    items = sum(len(group.weights) for group in groups)
    rounds = min(max(work_limit, 0) // (2 * items), ROUNDS)
    spent = 4 * rounds * items  # about the cost of two calls of `prices`, in steps of the search
    mu = prices(short, groups, weight(best), rounds)
    other = filled(short, groups, [0] * len(groups), mu)
    best, extra = improved(short, groups, min(best, other or best, key=weight), mu, work_limit)
    spent += IMPROVE_STEPS * extra
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
    """`counts` is None if no cover is lighter than the given one, or none was found in time."""

    counts: Counts | None
    proved: bool
    work: int


def _search(
    left: Amounts, groups: list[Group], beat: int, bound: "_Bound", work_limit: int
) -> _Found:
    """The lightest cover of `left` that weighs less than `beat`. Each level of the search tree
    decides the number of items of one group, the largest number first."""
    sums, order = [_running_sums(group.weights) for group in groups], bound.order
    best: Counts | None = None
    # A node: depth in `order`, missing amounts, weight so far, and the counts as a linked list.
    open_nodes: list[tuple[int, Amounts, int, tuple[int, object] | None]] = [(0, left, 0, None)]
    work = 0
    while open_nodes and work <= work_limit:
        depth, left, weight, path = open_nodes.pop()
        work += 1
        if met(left):
            if weight < beat:
                beat, best = weight, _counts(path, order)
            continue
        if depth == len(order):
            continue
        hopeless, examined = bound.rules_out(left, depth, beat - weight)
        work += examined
        if hopeless:
            continue
        at = order[depth]
        gives = groups[at].gives
        most = min(_enough(left, gives), len(groups[at].weights))
        open_nodes += [  # the search takes the last one first
            (depth + 1, less(left, gives, count), weight + sums[at][count], (count, path))
            for count in range(most + 1)
        ]
    return _Found(best, not open_nodes, work)


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

_Ratios = list[tuple[int, int, int, int]]  # weight per amount (scaled), depth, amount, weight


class _Bound:
    """The bound of the search: linear relaxations of each single dimension, and of all dimensions
    weighted by their prices, if there are any.

    A relaxation takes the items that give some of its amount, in the order of weight per amount.
    `order` is the order of branching: the group that gives most of the missing amounts first.
    """

    def __init__(self, short: Amounts, groups: list[Group], mu: Sequence[int] = ()) -> None:
        def worth(at: int) -> int:
            return sum((g << 32) // s for g, s in zip(groups[at].gives, short, strict=True))

        self.order = sorted(range(len(groups)), key=lambda at: (-worth(at), at))
        ordered = [groups[at] for at in self.order]
        self._prices = [(m << 30) // s for m, s in zip(mu or [0] * len(short), short, strict=True)]
        weighed = [sum(map(mul, self._prices, group.gives)) for group in ordered]
        singles = [[group.gives[d] for group in ordered] for d in range(len(short))]
        self._relaxations = [_ratios(amounts, ordered) for amounts in [weighed, *singles]]

    def rules_out(self, short: Amounts, depth: int, limit: int) -> tuple[bool, int]:
        """Whether the bound proves that every cover by the groups from `depth` on weighs at least
        `limit`; and the number of items examined."""
        weighed = sum(price * s for price, s in zip(self._prices, short, strict=True) if s > 0)
        examined = 0
        for need, ratios in zip((weighed, *short), self._relaxations, strict=True):
            spent = 0
            for _, group_depth, amount, weight in ratios:
                if need <= 0 or spent >= limit:
                    break
                examined += 1
                if group_depth >= depth:
                    spent += weight * min(amount, need) // amount
                    need -= amount  # noqa: PLW2901  # the relaxation's own running need
            if need > 0 or spent >= limit:
                return True, examined
        return False, examined


def _ratios(amounts: Sequence[int], groups: Sequence[Group]) -> _Ratios:
    """All items that give some of a dimension, by ascending weight per amount.

    Scaled by 2**150, any two ratios of amounts below 2**75 differ, so the order is exact.
    """
    return sorted(
        ((weight << 150) // amount, depth, amount, weight)
        for depth, (amount, group) in enumerate(zip(amounts, groups, strict=True))
        if amount
        for weight in group.weights
    )
