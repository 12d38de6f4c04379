"""Which faults there are, and in which order they come."""

from collections.abc import Iterator
from itertools import islice

import pytest

from chaos.faults import deck
from chaos.platforms.compose import Compose
from chaos.platforms.make_run import MakeRun
from chaos.platforms.platform import Platform

SERVERS = ("PostgreSQL", "Redis")


@pytest.fixture(params=[MakeRun, Compose])
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """One that was never started."""
    made: Platform = request.param()
    yield made
    made.stop()
    made.folder.rmdir()


def names(platform: Platform, count: int, seed: int, *, backwards: bool = False) -> list[str]:
    kinds = deck.every_kind(platform)
    dealt = deck.deal(kinds, seed, backwards=backwards)
    return [kind.name for kind, _ in islice(dealt, count)]


def test_there_are_many_kinds_and_no_two_have_one_name(platform: Platform) -> None:
    found = [kind.name for kind in deck.every_kind(platform)]
    assert len(found) == len(set(found))
    assert len(deck.possible(platform)) >= 50


def test_each_process_of_the_procfile_is_killed_and_frozen(platform: Platform) -> None:
    found = {kind.name for kind in deck.every_kind(platform)}
    for name in (*platform.commands, *SERVERS):
        assert {f"{name}: killed", f"{name}: frozen"} <= found


def test_a_seed_determines_order_and_draws(platform: Platform) -> None:
    kinds = deck.every_kind(platform)
    assert names(platform, 100, seed=1) == names(platform, 100, seed=1)
    assert names(platform, 100, seed=1) != names(platform, 100, seed=2)
    first, again = (
        [draw.random() for _, draw in islice(deck.deal(kinds, 1), 50)] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 50


def test_every_kind_comes_before_any_comes_again(platform: Platform) -> None:
    count = len(deck.every_kind(platform))
    dealt = names(platform, 2 * count, seed=3)
    assert len(set(dealt[:count])) == len(set(dealt[count:])) == count
    assert dealt[:count] != dealt[count:]


def test_two_platforms_begin_at_opposite_ends(platform: Platform) -> None:
    count = len(deck.every_kind(platform))
    assert names(platform, count, 1, backwards=True) == names(platform, count, 1)[::-1]


def test_what_cannot_be_had_is_left_out_and_says_why(platform: Platform) -> None:
    possible = {kind.name for kind in deck.possible(platform)}
    reasons = deck.impossible(platform)
    assert possible.isdisjoint(reasons)
    assert possible | set(reasons) == {kind.name for kind in deck.every_kind(platform)}
    assert all(reason.endswith((".", ")")) for reason in reasons.values())
    is_alone = isinstance(platform, MakeRun)
    assert ("network to Redis: cut" in reasons) is is_alone
