"""Minimum-cost covering: the cheapest items that together give what is short.

Items come in groups that give the same amounts; of a group the lightest are taken first, so a
solution is a count per group. Solved by depth-first branch and bound (Land and Doig 1960 for the
scheme); the bound is the dearest of the single dimensions' linear relaxations (Dantzig 1957).
Exact unless the search passes its work limit; then the best cover so far stands, never worse than
the greedy one with reprieve, from which it starts. No item in an answer can be spared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge

Amounts = tuple[int, ...]

WORK_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Group:
    """Items that each give `gives`, one weight (a positive integer) per item, ascending."""

    gives: Amounts
    weights: Sequence[int]


def cover(
    short: Amounts, groups: Sequence[Group], work_limit: int = WORK_LIMIT
) -> tuple[list[int], bool]:
    """How many items of each group to take, so that they give `short` and weigh least; and whether
    that is proved, or the work limit cut the search short.

    All amounts in `short` are positive, and all items together give them. `work_limit` counts
    search nodes and the offers that their bounds look at.
    """
    useful = [_useful(short, group) for group in groups]
    if len(useful) == 1:
        return [len(useful[0].weights)], True
    return _search(short, useful, _greedy(short, useful), work_limit)


def _useful(short: Amounts, group: Group) -> Group:
    """No item counts for more than what is short, no group for more items than that takes."""
    gives = tuple(min(g, s) for g, s in zip(group.gives, short, strict=True))
    return Group(gives, group.weights[: _enough(short, gives)])


def _enough(short: Amounts, gives: Amounts) -> int:
    """With so many items the group has given all it can of what is short."""
    return max((-(-s // g) for s, g in zip(short, gives, strict=True) if g and s > 0), default=0)


def _less(short: Amounts, gives: Amounts, count: int) -> Amounts:
    return tuple(s - g * count for s, g in zip(short, gives, strict=True))


def _met(short: Amounts) -> bool:
    return max(short) <= 0


def _greedy(short: Amounts, groups: Sequence[Group]) -> list[int]:
    """Lightest first until it is covered; then spare, heaviest first, whoever is not needed."""
    streams = [[(weight, at) for weight in group.weights] for at, group in enumerate(groups)]
    taken: list[int] = []
    for _, at in merge(*streams):
        if _met(short):
            break
        if any(g and s > 0 for g, s in zip(groups[at].gives, short, strict=True)):
            taken.append(at)
            short = _less(short, groups[at].gives, 1)
    counts = [0] * len(groups)
    for at in reversed(taken):
        without = _less(short, groups[at].gives, -1)
        if _met(without):
            short = without
        else:
            counts[at] += 1
    return counts


def _search(
    short: Amounts, groups: list[Group], incumbent: list[int], work_limit: int
) -> tuple[list[int], bool]:
    """Branch on how many of each group to take, most first; `incumbent` is the cover to beat."""
    sums = [_running_sums(group.weights) for group in groups]
    best_weight = sum(sums[at][count] for at, count in enumerate(incumbent))
    best = incumbent
    order = sorted(range(len(groups)), key=lambda at: (-_worth(short, groups[at].gives), at))
    offers = _offers(short, [groups[at] for at in order])
    # A node: depth in `order`, what is still short, weight so far, and the counts as a linked list.
    stack: list[tuple[int, Amounts, int, tuple[int, object] | None]] = [(0, short, 0, None)]
    work = 0
    while stack and work <= work_limit:
        depth, left, weight, path = stack.pop()
        work += 1
        if _met(left):
            if weight < best_weight:
                best_weight, best = weight, _counts(path, order)
            continue
        if depth == len(order):
            continue
        bound, looked = _bound(left, depth, offers)
        work += looked
        if bound is None or weight + bound >= best_weight:
            continue
        at = order[depth]
        gives = groups[at].gives
        most = min(_enough(left, gives), len(groups[at].weights))
        stack += [  # the last one is looked at first
            (depth + 1, _less(left, gives, count), weight + sums[at][count], (count, path))
            for count in range(most + 1)
        ]
    return best, not stack


def _running_sums(weights: Sequence[int]) -> list[int]:
    sums = [0]
    for weight in weights:
        sums.append(sums[-1] + weight)
    return sums


def _worth(short: Amounts, gives: Amounts) -> int:
    return sum((g << 32) // s for g, s in zip(gives, short, strict=True))


def _counts(path: tuple[int, object] | None, order: list[int]) -> list[int]:
    taken = []
    while path is not None:
        count, path = path  # type: ignore[assignment]  # a recursive tuple type has no name
        taken.append(count)
    counts = [0] * len(order)
    for at, count in zip(order, reversed(taken), strict=False):
        counts[at] = count
    return counts


Offer = tuple[int, int, int, int]  # weight per amount (scaled), depth of the group, amount, weight


def _offers(short: Amounts, groups: list[Group]) -> list[list[Offer]]:
    """Per dimension, every item that gives some of it, lightest per amount first.

    2**70 tells apart any two ratios of amounts below 2**35, so the order is exact.
    """
    return [
        sorted(
            ((weight << 70) // group.gives[d], depth, group.gives[d], weight)
            for depth, group in enumerate(groups)
            if group.gives[d]
            for weight in group.weights
        )
        for d in range(len(short))
    ]


def _bound(short: Amounts, depth: int, offers: list[list[Offer]]) -> tuple[int | None, int]:
    """No cover from `depth` on weighs less (None: there is no cover); and the offers seen."""
    dearest = looked = 0
    for need, line in zip(short, offers, strict=True):
        spent = 0
        for _, group_depth, amount, weight in line:
            if need <= 0:
                break
            looked += 1
            if group_depth >= depth:
                spent += weight * min(amount, need) // amount
                need -= amount  # noqa: PLW2901  # the dimension's own running need
        if need > 0:
            return None, looked
        dearest = max(dearest, spent)
    return dearest, looked
