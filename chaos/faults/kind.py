"""What a kind of fault is, and how it is declared."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from chaos.platforms.platform import Platform

Inject = Callable[[Platform, Random, float], None]
WhyNot = Callable[[Platform], str | None]
MOMENT = (0.0, 0.0)
WHILE = (1.0, 3.0)


class NotInjected(Exception):  # noqa: N818 - a state of the platform, not a mistake
    """What the fault would have hit is not there. The message is a sentence."""


def _always(_platform: Platform) -> str | None:
    return None


@dataclass(frozen=True)
class Kind:
    """`inject` gets the seconds that the fault is to last, drawn from `lasts_s`; it returns at the
    moment when the fault is over. `why_not` says why a platform or machine cannot have it."""

    name: str
    inject: Inject
    lasts_s: tuple[float, float] = MOMENT
    why_not: WhyNot = _always


def declare(
    kinds: list[Kind], name: str, lasts_s: tuple[float, float] = MOMENT, why_not: WhyNot = _always
) -> Callable[[Inject], Inject]:
    """A decorator that adds the kind to the list."""

    def add(inject: Inject) -> Inject:
        kinds.append(Kind(name, inject, lasts_s, why_not))
        return inject

    return add
