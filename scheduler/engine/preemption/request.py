"""What a workload asks of the search for its victims, and what it may use of the bins."""

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.engine.placement.capacity import Usable
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Labels

NONE_USABLE = Resources(-(2**62), -(2**62), -(2**62))


@dataclass(frozen=True, slots=True)
class Request:
    """The replicas that are to start, and the priority value `below` which victims must be.

    `usable` gives the usable amount of a bin; without it, all that is free is usable. Its answer
    for a bin may change only when the bin changes. `packed`: of equal victims, those count that let
    the replicas take the fewest bins.
    """

    per_replica: Resources
    replicas: int
    selector: Labels
    below: int
    usable: Usable | None = None
    packed: bool = False

    @property
    def total(self) -> Resources:
        return self.per_replica.times(self.replicas)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """`usable` outside these bins; in them nothing, nor what victims would free there."""

    usable: Usable
    bins: frozenset[int]

    def __call__(self, at: int) -> Resources:
        return NONE_USABLE if at in self.bins else self.usable(at)


@dataclass(frozen=True, slots=True)
class Within:
    """`usable` in these bins alone."""

    usable: Usable
    bins: frozenset[int]

    def __call__(self, at: int) -> Resources:
        return self.usable(at) if at in self.bins else NONE_USABLE


def with_freed(usable: Usable | None, victims: Iterable[Candidate]) -> Usable | None:
    """`usable` as it is now, and what the victims will free: that is for their preemptor."""
    if usable is None:
        return None
    amounts: dict[int, Resources] = {}
    for victim in victims:
        for at, amount in victim.frees:
            amounts[at] = (amounts[at] if at in amounts else usable(at)).plus(amount)
    return lambda at: amounts[at] if at in amounts else usable(at)
