"""Prices for what is short: a Lagrangian relaxation of the covering problem of covering.py.

If each amount that is short had a price, an item would be worth taking where what it gives is
dearer than its weight. For any prices the relaxed problem's value is a lower bound; the best
prices are looked for by subgradient steps (Held, Wolfe and Crowder 1974; the step is Polyak's).
They tell which items every better cover has, and which none has (Balas and Zemel 1980: what is
left is the core), and lead to good covers. Integers throughout: any prices are valid, so rounding
costs sharpness, never truth.
"""

from collections.abc import Sequence

from scheduler.engine.preemption.greedy import ONE, Amounts, Group

ROUNDS = 60  # enough, mostly
PATIENCE = 5  # rounds without progress after which the steps are halved


def prices(short: Amounts, groups: Sequence[Group], target: int, rounds: int) -> list[int]:
    """What the whole of each shortage is worth, in parts of `target`, so that the bound that
    it gives is high; `target` is the weight of a cover. Takes `rounds` steps at most."""
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
    """How many of each group every cover lighter than `target` takes at least, and at most; None
    where the bound says that there is none."""
    each = [m * target // (s * ONE) for m, s in zip(mu, short, strict=True)]
    reduced = []
    for group in groups:
        worth = sum(price * g for price, g in zip(each, group.gives, strict=True))
        reduced.append([weight - worth for weight in group.weights])
    bound = sum(price * s for price, s in zip(each, short, strict=True))
    bound += sum(cost for costs in reduced for cost in costs if cost < 0)
    slack = target - bound  # what does not cost so much may go either way
    if slack <= 0:
        return None
    return [
        (sum(-cost >= slack for cost in costs), sum(cost < slack for cost in costs))
        for costs in reduced
    ]
