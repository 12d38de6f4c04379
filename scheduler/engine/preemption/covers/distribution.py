"""The lightest way to distribute missing replicas over bins: a multiple-choice knapsack.

Each bin offers options: a number of replicas more, and the weight of the victims that make room for
them. Most options can be ruled out beforehand: with a price on each replica, a Lagrangian
relaxation gives a lower bound, and an option is of no use if the bound with it is no less than the
weight of a known solution (Sinha and Zoltners 1979; Kellerer, Pferschy and Pisinger 2004, chapter
11). Dynamic programming decides among the others.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import NamedTuple

Weights = Mapping[int, Mapping[int, int]]  # by bin, then by the number of replicas more
Shares = dict[int, int]  # by bin: the number of replicas more


class Distribution(NamedTuple):
    """A solution, and the price per replica of its dearest step."""

    weight: int
    shares: Shares
    price: int


def step_by_step(options: Weights, missing: int) -> Distribution:
    """Take the cheapest step per replica until none is missing. The options are enough for all."""
    steps: list[tuple[int, int, int, int]] = []

    def next_step(at: int, had: int) -> None:
        weights, paid = options[at], options[at][had] if had else 0
        per_replica = [((weights[k] - paid) // (k - had), k) for k in weights if k > had]
        if per_replica:
            price, k = min(per_replica)
            heappush(steps, (price, at, had, k))

    for at in sorted(options):
        next_step(at, 0)
    taken: Shares = {}
    dearest = 0
    while missing > 0:
        price, at, had, k = heappop(steps)
        taken[at], dearest = k, max(dearest, price)
        missing -= k - had
        next_step(at, k)
    return Distribution(sum(options[at][k] for at, k in taken.items()), taken, dearest)


def without_surplus(shares: Shares, missing: int) -> Shares:
    """The shares without what is beyond the missing replicas, as far as that is one bin's."""
    surplus = sum(shares.values()) - missing
    at = next((at for at, share in shares.items() if share > surplus), None)
    return shares if at is None else {**shares, at: shares[at] - surplus}


class Reach(NamedTuple):
    """What may be part of a solution lighter than another. Each such solution has all shares that
    are `certain`. `open` are the numbers of replicas that other bins may take. No solution weighs
    less than `bound`."""

    certain: Shares
    open: dict[int, list[int]]
    bound: int


def within_reach(options: Weights, missing: int, price: int, beat: int) -> Reach:
    """What may be part of a solution lighter than `beat`. Any price is valid: a bad one rules out
    less."""
    reduced = {
        at: {k: weight - price * k for k, weight in weights.items()}
        for at, weights in options.items()
    }
    least = {at: min(0, *each.values()) if each else 0 for at, each in reduced.items()}
    bound = price * missing + sum(least.values())
    slack = beat - bound
    certain: Shares = {}
    open_: dict[int, list[int]] = {}
    for at, each in reduced.items():
        left = [k for k, weight in each.items() if weight - least[at] < slack]
        if len(left) == 1 and -least[at] >= slack:
            certain[at] = left[0]
        elif left:
            open_[at] = left
    return Reach(certain, open_, bound)


def lightest(options: Weights, missing: int) -> Distribution | None:
    """Dynamic programming: best[r] is the least weight for r replicas, with the path to it."""
    best: list[tuple[int, object] | None] = [(0, None), *[None] * missing]
    for at, weights in sorted(options.items()):
        before = list(best)
        for more, weight in weights.items():
            for had, entry in enumerate(before):
                if entry is None:
                    continue
                total, sum_ = min(had + more, missing), entry[0] + weight
                known = best[total]
                if known is None or sum_ < known[0]:
                    best[total] = (sum_, (entry[1], at, more))
    found = best[missing]
    if found is None:
        return None
    shares: Shares = {}
    path = found[1]
    while path is not None:
        path, at, more = path  # type: ignore[misc]  # a recursive tuple type has no name
        shares[at] = more
    return Distribution(found[0], shares, 0)
