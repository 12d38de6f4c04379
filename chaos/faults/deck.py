"""All kinds that a platform can have, dealt in an order that the seed determines."""

from collections.abc import Iterator
from itertools import count
from random import Random

from chaos.faults import networks, postgresql, processes, redis_data, redis_server
from chaos.faults.kind import Kind
from chaos.platforms.platform import Platform


def every_kind(platform: Platform) -> list[Kind]:
    sources = (processes, postgresql, redis_server, redis_data, networks)
    return [kind for source in sources for kind in source.kinds(platform)]


def possible(platform: Platform) -> list[Kind]:
    return [kind for kind in every_kind(platform) if kind.why_not(platform) is None]


def impossible(platform: Platform) -> dict[str, str]:
    """Why each of the other kinds cannot be had: sentences by the kind's name."""
    reasons = ((kind.name, kind.why_not(platform)) for kind in every_kind(platform))
    return {name: why for name, why in reasons if why is not None}


def deal(kinds: list[Kind], seed: int, *, backwards: bool = False) -> Iterator[tuple[Kind, Random]]:
    """Without an end; every kind comes once before any comes again. With each comes the source of
    all that it draws.

    Two platforms get their common kinds in the same order; with `backwards` one of them begins at
    the other end, so that a few faults on both are of many kinds.
    """
    for number in count():
        order = sorted(kinds, key=lambda kind: _draw("order", seed, number, kind).random())
        for kind in reversed(order) if backwards else order:
            yield kind, _draw("fault", seed, number, kind)


def _draw(purpose: str, seed: int, number: int, kind: Kind) -> Random:
    return Random(f"{purpose}/{seed}/{number}/{kind.name}")
