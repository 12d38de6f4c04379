"""What a workload asks of the search for its victims."""

from dataclasses import dataclass

from scheduler.engine.capacity import Usable
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Labels


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
