"""Workloads that may be evicted, and sets of them that are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.engine.resources import Resources


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workload that may be evicted; the victims are the set of the least summed `weight`."""

    id: str
    value: int  # of its priority class
    frees: tuple[tuple[int, Resources], ...]  # what it gives back, by bin
    cost: int
    lost_ms: int
    weight: int


@dataclass(frozen=True, slots=True)
class VictimSet:
    """A set of victims. `top` is the highest value among them; `proved`: no cheaper set exists;
    `work` is what the search took, in the steps of covering.py."""

    top: int
    weight: int
    victims: tuple[Candidate, ...]
    proved: bool
    work: int

    @property
    def price(self) -> tuple[int, int]:
        return (self.top, self.weight)


class EqualCandidates(NamedTuple):
    """Candidates that free the same in a bin, and what each of them weighs there, ascending."""

    frees: Resources
    weights: Sequence[int]
    members: Sequence[Candidate]


def weight_of(candidates: Iterable[Candidate]) -> int:
    return sum(candidate.weight for candidate in candidates)
