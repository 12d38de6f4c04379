"""Workloads that may be evicted, and victim sets made of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.engine.resources import Resources

# The bits of a weight, from the high end: cost in the highest class, …, in the lowest (or one sum
# of them all, with a class_cost_ratio), number of victims, bins of a gang (gang.py), rank by age.
# Each part can take the sum over a million victims, so sums of weights compare likewise.
RANK_BITS, NUMBER_AT, COST_AT, COST_BITS = 40, 64, 88, 96


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload that may be evicted. A search looks for the set of the least sum of `weight`."""

    id: str
    value: int  # of its priority class
    frees: tuple[tuple[int, Resources], ...]  # the amounts that its eviction frees, by bin
    cost: int
    lost_ms: int
    weight: int
    is_exempt: bool = False  # from preemptors that are not patient (costs.py)
    owner: str = ""


@dataclass(frozen=True, slots=True)
class VictimSet:
    """The victims of one preemption. `top` is the highest priority value among them. `proved` says
    that no cheaper set exists. `work` is the cost of the search, in the steps of covering.py."""

    top: int
    weight: int
    victims: tuple[Candidate, ...]
    proved: bool
    work: int

    @property
    def price(self) -> tuple[int, int]:
        return (self.top, self.weight)


class EqualCandidates(NamedTuple):
    """Candidates that free the same amount of a bin, with their weights there, ascending."""

    frees: Resources
    weights: Sequence[int]
    members: Sequence[Candidate]


def weight_of(candidates: Iterable[Candidate]) -> int:
    return sum(candidate.weight for candidate in candidates)


def cost_and_number(weight: int) -> int:
    """What counts of a weight before bins and ages."""
    return weight >> NUMBER_AT
