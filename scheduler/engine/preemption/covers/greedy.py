"""Covers found without a search: the first cover of covering.py, and its answer when cut short."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, merge

Amounts = tuple[int, ...]
Counts = list[int]  # how many items of each group

ONE = 1 << 24  # prices (see lagrangian.py) as fractions
LEAST = ONE >> 10  # added to each price, so that a dimension of price 0 counts too
PASSES = 4  # of `improved` over a cover


@dataclass(frozen=True, slots=True)
class Group:
    """Items that give the same amounts `gives`; one weight (a positive integer) per item,
    ascending."""

    gives: Amounts
    weights: Sequence[int]


def weight_of(groups: Sequence[Group], counts: Sequence[int]) -> int:
    return sum(sum(g.weights[:count]) for g, count in zip(groups, counts, strict=True))


def less(short: Amounts, gives: Amounts, count: int) -> Amounts:
    return tuple(s - g * count for s, g in zip(short, gives, strict=True))


def left_of(short: Amounts, groups: Sequence[Group], counts: Sequence[int]) -> Amounts:
    for group, count in zip(groups, counts, strict=True):
        if count:
            short = less(short, group.gives, count)
    return short


def met(short: Amounts) -> bool:
    return max(short) <= 0


def greedy(short: Amounts, groups: Sequence[Group]) -> Counts:
    """Take the lightest items until `short` is covered, then spare items that are not needed."""
    counts, left = [0] * len(groups), short
    for _, at in merge(*([(w, at) for w in group.weights] for at, group in enumerate(groups))):
        if met(left):
            break
        if any(g and s > 0 for g, s in zip(groups[at].gives, left, strict=True)):
            counts[at] += 1
            left = less(left, groups[at].gives, 1)
    return spared(short, groups, counts)


def spared(short: Amounts, groups: Sequence[Group], counts: Sequence[int]) -> Counts:
    """The counts without items that are not needed; the heaviest item is tried first."""
    left, counts = left_of(short, groups, counts), list(counts)
    taken = [(groups[at].weights[n], at) for at, count in enumerate(counts) for n in range(count)]
    for _, at in sorted(taken, reverse=True):
        without = less(left, groups[at].gives, -1)
        if met(without):
            left = without
            counts[at] -= 1
    return counts


def filled(
    short: Amounts,
    groups: Sequence[Group],
    counts: Sequence[int],
    mu: Sequence[int],
    barred: int | None = None,
) -> Counts | None:
    """A cover made of `counts` and further items, none of them of the barred group; None if there
    is no such cover.

    The next item is the one of the least weight per worth: the worth is the price of the amounts
    that it gives and that are still missing. At the end, items that are not needed are spared.
    """
    counts, left = list(counts), left_of(short, groups, counts)
    scales = [((m + LEAST), s) for m, s in zip(mu, short, strict=True)]

    def price(at: int) -> int:
        """The weight per worth of the group's next item; 0 if it gives no missing amount."""
        worth = 0
        for (m, s), gives, still in zip(scales, groups[at].gives, left, strict=True):
            if still > 0:
                worth += m * min(gives, still) // s
        return groups[at].weights[counts[at]] * ONE // worth if worth else 0

    def open_(at: int) -> bool:
        return at != barred and counts[at] < len(groups[at].weights)

    # Taking an item only raises the prices of others: a fresh price below all others is the least.
    heap = [(price(at), at) for at in range(len(groups)) if open_(at)]
    heapify(heap)
    while not met(left):
        if not heap:
            return None
        _, at = heappop(heap)
        if not open_(at) or not (now := price(at)):
            continue
        if heap and (now, at) > heap[0]:
            heappush(heap, (now, at))
            continue
        counts[at] += 1
        left = less(left, groups[at].gives, 1)
        if open_(at):
            heappush(heap, (price(at), at))
    return spared(short, groups, counts)


def improved(
    short: Amounts, groups: Sequence[Group], counts: Counts, mu: Sequence[int], work_limit: int
) -> tuple[Counts, int]:
    """Exchange one item for others as long as that makes the cover lighter. Returns the cover, and
    the number of groups looked at."""
    lightest, work = weight_of(groups, counts), 0
    for _ in range(PASSES):
        before = lightest
        for at in range(len(groups)):
            if work > work_limit:
                return counts, work
            if counts[at]:
                fewer = [*counts[:at], counts[at] - 1, *counts[at + 1 :]]
                other = filled(short, groups, fewer, mu, barred=at)
                work += len(groups)
                if other is not None and (weight := weight_of(groups, other)) < lightest:
                    counts, lightest = other, weight
        if lightest == before:
            break
    return counts, work
