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
from typing import NamedTuple

Amounts = tuple[int, ...]

WORK_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Group:
    """Items that each give `gives`, one weight (a positive integer) per item, ascending."""

    gives: Amounts
    weights: Sequence[int]


class Cover(NamedTuple):
    """How many items of each group; False in `proved` where the work limit cut the search short."""

    counts: list[int]
    proved: bool
    work: int


def cover(short: Amounts, groups: Sequence[Group], work_limit: int = WORK_LIMIT) -> Cover:
    """How many items of each group to take, so that they give `short` and weigh least.

    All amounts in `short` are positive, and all items together give them. `work_limit` counts
    search nodes and the offers that their bounds look at.
    """
    useful = [_useful(short, group) for group in groups]
    if len(useful) == 1:
        return Cover([len(useful[0].weights)], proved=True, work=1)
    found = _search(short, useful, _greedy(short, useful), work_limit)
    if found.proved:
        return found
    return found._replace(counts=_spared(short, useful, found.counts))


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
    all_short = short
    streams = [[(weight, at) for weight in group.weights] for at, group in enumerate(groups)]
    taken: list[int] = []
    for _, at in merge(*streams):
        if _met(short):
            break
        if any(g and s > 0 for g, s in zip(groups[at].gives, short, strict=True)):
            taken.append(at)
            short = _less(short, groups[at].gives, 1)
    counts = [0] * len(groups)
    for at in taken:
        counts[at] += 1
    return _spared(all_short, groups, counts)


def _spared(short: Amounts, groups: Sequence[Group], counts: Sequence[int]) -> list[int]:
    """The same without whoever is not needed, the heaviest looked at first."""
    counts = list(counts)
    for at, count in enumerate(counts):
        short = _less(short, groups[at].gives, count)
    taken = [(groups[at].weights[n], at) for at, count in enumerate(counts) for n in range(count)]
    for _, at in sorted(taken, reverse=True):
        without = _less(short, groups[at].gives, -1)
        if _met(without):
            short = without
            counts[at] -= 1
    return counts


def _search(short: Amounts, groups: list[Group], incumbent: list[int], work_limit: int) -> Cover:
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
    return Cover(best, not stack, work)


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
