"""Amounts of CPU, RAM and GPU, as integers only, so that sums never drift."""

from collections.abc import Iterable
from typing import NamedTuple

NAMES = ("cpu_milli", "ram_mib", "gpu")
ENDLESS = 2**62


class Resources(NamedTuple):
    """CPU in millicores, RAM in MiB, GPUs whole."""

    cpu_milli: int = 0
    ram_mib: int = 0
    gpu: int = 0

    def plus(self, other: "Resources") -> "Resources":
        return Resources(self[0] + other[0], self[1] + other[1], self[2] + other[2])

    def minus(self, other: "Resources") -> "Resources":
        return Resources(self[0] - other[0], self[1] - other[1], self[2] - other[2])

    def minus_at_most(self, other: "Resources") -> "Resources":
        """The difference, each amount of which is at least zero."""
        return Resources(
            max(self[0] - other[0], 0), max(self[1] - other[1], 0), max(self[2] - other[2], 0)
        )

    def times(self, count: int) -> "Resources":
        return Resources(self[0] * count, self[1] * count, self[2] * count)

    def count_in(self, capacity: "Resources") -> int:
        """The number of times that this amount fits in `capacity`; 0 if this amount is zero."""
        cpu_milli, ram_mib, gpu = self
        count = capacity[0] // cpu_milli if cpu_milli > 0 else ENDLESS
        if ram_mib > 0:
            count = min(count, capacity[1] // ram_mib)
        if gpu > 0:
            count = min(count, capacity[2] // gpu)
        return count if 0 < count < ENDLESS else 0

    def at_most(self, other: "Resources") -> "Resources":
        return Resources(min(self[0], other[0]), min(self[1], other[1]), min(self[2], other[2]))

    def fits_in(self, capacity: "Resources") -> bool:
        return self[0] <= capacity[0] and self[1] <= capacity[1] and self[2] <= capacity[2]

    def named(self) -> dict[str, int]:
        """The amounts by name: {"cpu_milli": …, "ram_mib": …, "gpu": …}."""
        return dict(zip(NAMES, self, strict=True))

    def positive(self) -> dict[str, int]:
        """The positive amounts by name."""
        return {name: amount for name, amount in self.named().items() if amount > 0}


ZERO = Resources()


def add_up(amounts: Iterable[Resources]) -> Resources:
    total = ZERO
    for amount in amounts:
        total = total.plus(amount)
    return total
