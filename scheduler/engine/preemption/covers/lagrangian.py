"""Prices of the missing amounts: a Lagrangian relaxation of the covering problem of covering.py.

With a price on each missing amount, an item is worth taking if the amounts that it gives are worth
more than its weight. For any prices the value of the relaxed problem is a lower bound. Subgradient
steps look for the prices of the highest bound (Held, Wolfe and Crowder 1974; the step length is
Polyak's). These prices show which items every better cover contains and which items none contains
(Balas and Zemel 1980: the other items are the core), and they lead to good covers. All numbers are
integers: any prices are valid, so rounding makes the bound weaker, never wrong.
"""

from collections.abc import Sequence

from scheduler.engine.preemption.covers.greedy import ONE, Amounts, Group

ROUNDS = 60  # enough for most problems
PATIENCE = 5  # rounds without progress after which the steps are halved


def prices(short: Amounts, groups: Sequence[Group], target: int, rounds: int) -> list[int]:
    """The price of each whole shortage, as a fraction of `target` in units of 1/ONE, of the highest
    bound found in `rounds` steps at most. `target` is the weight of a cover."""
    items = [
        (min((weight * ONE) // target, 4 * ONE), parts)
        for group in groups
        for parts in [tuple(g * ONE // s for g, s in zip(group.gives, short, strict=True))]
        for weight in group.weights
    ]
    mu = best = [ONE // len(short)] * len(short)
    highest, stalled, step = -1, 0, ONE
    for _ in range(rounds):
        bound, slope = sum(mu), [ONE] * len(short)
        for weight, parts in items:
            reduced = weight - sum(m * part for m, part in zip(mu, parts, strict=True)) // ONE
            if reduced < 0:
                bound += reduced
                slope = [s - part for s, part in zip(slope, parts, strict=True)]
        if bound > highest:
            highest, best, stalled = bound, mu, 0
        else:
            stalled += 1
            if stalled % PATIENCE == 0:
                step //= 2
        steepness = sum(s * s for s in slope) // ONE
        if steepness == 0 or highest >= ONE:
            break
        length = step * (ONE + ONE // 50 - bound) // steepness
        mu = [max(m + length * s // ONE, 0) for m, s in zip(mu, slope, strict=True)]
    return best


def core(
    short: Amounts, groups: Sequence[Group], mu: Sequence[int], target: int
) -> list[tuple[int, int]] | None:
    """The least and the largest number of each group's items in any cover lighter than `target`;
    None if the bound proves that there is no such cover."""
    each = [m * target // (s * ONE) for m, s in zip(mu, short, strict=True)]
    reduced = []
    for group in groups:
        worth = sum(price * g for price, g in zip(each, group.gives, strict=True))
        reduced.append([weight - worth for weight in group.weights])
    bound = sum(price * s for price, s in zip(each, short, strict=True))
    bound += sum(cost for costs in reduced for cost in costs if cost < 0)
    slack = target - bound  # an item of a smaller reduced cost is undecided
    if slack <= 0:
        return None
    return [
        (sum(-cost >= slack for cost in costs), sum(cost < slack for cost in costs))
        for costs in reduced
    ]
