"""The amounts of many bins as one, for questions about all of them."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from scheduler.engine.resources import Resources, add_up

MOST_LARGEST = 64


class Amounts:
    """Equal amounts are kept once: most clusters have few kinds of nodes."""

    def __init__(self, amounts: Iterable[Resources]) -> None:
        self.shapes = Counter(amounts)

    @cached_property
    def total(self) -> Resources:
        return add_up(amount.times(number) for amount, number in self.shapes.items())

    @cached_property
    def largest(self) -> list[Resources]:
        """The amounts that fit in none of the others, at most MOST_LARGEST. One of them comes
        nearest to any request."""
        found: list[Resources] = []
        for amount in sorted(self.shapes, reverse=True):
            if len(found) < MOST_LARGEST and not any(amount.fits_in(larger) for larger in found):
                found.append(amount)
        return found

    def count_of(self, request: Resources) -> int:
        """The number of replicas that fit."""
        return sum(request.count_in(amount) * number for amount, number in self.shapes.items())
