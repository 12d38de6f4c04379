"""The covering search alone, compared with trying all covers, with and without a work limit."""

from collections.abc import Sequence
from itertools import product
from random import Random

import pytest

from scheduler.engine.preemption.covers.covering import cover
from scheduler.engine.preemption.covers.greedy import ONE, Amounts, Group, greedy, spared, weight_of
from scheduler.engine.preemption.covers.lagrangian import ROUNDS, core, prices


def instance(seed: int, groups: int, items: int) -> tuple[Amounts, list[Group]]:
    """Missing amounts and items that together give them; some groups give the same, some too
    much."""
    random = Random(seed)
    dimensions = random.randint(1, 3)
    kinds = [tuple(random.randint(0, 6) for _ in range(dimensions)) for _ in range(groups)]
    made = [
        Group(gives, sorted(random.randint(1, 40) for _ in range(random.randint(1, items))))
        for gives in kinds
        if any(gives)
    ]
    most = [sum(g.gives[d] * len(g.weights) for g in made) for d in range(dimensions)]
    return tuple(random.randint(1, max(each, 1)) for each in most), made


def covers(short: Amounts, groups: Sequence[Group], counts: Sequence[int]) -> bool:
    return all(
        sum(g.gives[d] * count for g, count in zip(groups, counts, strict=True)) >= amount
        for d, amount in enumerate(short)
    )


def lightest(short: Amounts, groups: Sequence[Group]) -> int:
    every = product(*(range(len(group.weights) + 1) for group in groups))
    return min(weight_of(groups, counts) for counts in every if covers(short, groups, counts))


def assert_minimal(short: Amounts, groups: Sequence[Group], counts: list[int]) -> None:
    assert covers(short, groups, counts)
    for at, count in enumerate(counts):
        if count:
            fewer = [*counts[:at], count - 1, *counts[at + 1 :]]
            assert not covers(short, groups, fewer), "an item could be spared"


def solvable(groups: int, items: int, seeds: int) -> list[tuple[Amounts, list[Group]]]:
    made = (instance(seed, groups, items) for seed in range(seeds))
    return [(s, g) for s, g in made if g and covers(s, g, [len(each.weights) for each in g])]


def test_no_cover_is_lighter_than_the_proved_one() -> None:
    instances = solvable(groups=4, items=3, seeds=600)
    assert len(instances) > 400
    for short, groups in instances:
        found = cover(short, groups)
        assert found.proved
        assert_minimal(short, groups, found.counts)
        assert weight_of(groups, found.counts) == lightest(short, groups)


@pytest.mark.parametrize("work_limit", [0, 1, 30, 300, 3_500])
def test_a_search_past_its_limit_gives_a_minimal_cover_no_heavier_than_the_greedy_one(
    work_limit: int,
) -> None:
    unproved = 0
    for short, groups in solvable(groups=14, items=4, seeds=60):
        found = cover(short, groups, work_limit)
        unproved += not found.proved
        assert_minimal(short, groups, found.counts)
        assert weight_of(groups, found.counts) <= weight_of(groups, greedy(short, groups))
        if found.proved:
            assert found.counts == cover(short, groups).counts
    assert unproved > 0 or work_limit > 300


def test_a_higher_work_limit_never_gives_a_heavier_cover() -> None:
    for short, groups in solvable(groups=14, items=4, seeds=40):
        weights = [
            weight_of(groups, cover(short, groups, limit).counts) for limit in (0, 3_000, 60_000)
        ]
        assert weights == sorted(weights, reverse=True)


def test_every_lighter_cover_agrees_with_what_the_prices_decide() -> None:
    """For the best prices and for random ones."""
    random = Random(1)
    for short, groups in solvable(groups=4, items=3, seeds=300):
        best = lightest(short, groups)
        found = prices(short, groups, best + 1, ROUNDS)
        for mu in (found, [random.randint(0, 2 * ONE) for _ in short]):
            bounds = core(short, groups, mu, best + 1)
            assert bounds is not None
            every = product(*(range(least, most + 1) for least, most in bounds))
            inside = [weight_of(groups, c) for c in every if covers(short, groups, c)]
            assert min(inside) == best
            if (bounds := core(short, groups, mu, best)) is not None:
                every = product(*(range(least, most + 1) for least, most in bounds))
                inside = [weight_of(groups, c) for c in every if covers(short, groups, c)]
                assert min(inside, default=best) >= best


def test_the_bound_of_the_prices_comes_near_the_optimum() -> None:
    """With enough equal small items the bound of the best prices is the optimum itself."""
    groups = [Group((1, 2), [10] * 8), Group((2, 1), [10] * 8)]
    mu = prices((9, 9), groups, 60, ROUNDS)
    assert sum(mu) > 0.9 * ONE


def test_huge_weights_are_compared_exactly() -> None:
    """Weights as in candidates.py: the cost decides, then the number, then the last bits."""
    cost, one = 1 << 160, 1 << 40
    groups = [Group((2,), [cost + one + 1]), Group((1,), [one, one + 1, cost + one])]
    assert cover((2,), groups).counts == [0, 2]
    assert cover((3,), groups).counts == [1, 1]
    assert cover((5,), groups).counts == [1, 3]


def test_the_heaviest_item_that_is_not_needed_is_spared() -> None:
    groups = [Group((3,), [9]), Group((1,), [1, 2, 5])]
    assert spared((3,), groups, [1, 3]) == [0, 3]
    assert spared((2,), groups, [0, 3]) == [0, 2]
