"""What the planner answers: who starts where, who yields, and why the others wait."""

from dataclasses import dataclass

from scheduler.engine.reasons import Reason
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Placement


@dataclass(frozen=True, slots=True)
class Start:
    """A workload is admitted, after its victims have given back what they held.

    `withheld` is what it could not draw on at that moment although it was free, by node: held back
    for a head, or for one who has waited too long. The checker judges victims with that in mind.
    `proved` says that no cheaper victims exist; False where the search was cut short (search.py).
    `alternative` are the next-best victims: the cheapest had the dearest of these not been there.
    """

    workload_id: str
    placement: tuple[Placement, ...]
    victims: tuple[str, ...] = ()
    proved: bool = True
    alternative: tuple[str, ...] = ()
    alternative_cost: int = 0
    withheld: tuple[tuple[str | None, Resources], ...] = ()


@dataclass(frozen=True, slots=True)
class Eviction:
    """A running workload goes back to the queue. `by` is its preemptor; None where it drains.

    `lost_ms` is the work lost: time since it started or last reported a checkpoint. `cost` is that
    work and the disruption, weighed by its share of the cluster (victims.py).
    """

    workload_id: str
    reason: Reason
    by: str | None = None
    lost_ms: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Why every workload of a scheduling key waits, or this one where `workload_id` says so."""

    scheduling_key: str
    reason: Reason
    workload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Starts in the order in which they were decided, in which they never over-commit.

    `unfinished` says to run another: the cycle reached its limit with candidates left, or started a
    service while capacity is held, which may be in vain since. `holder` is the workload that has
    waited so long that capacity is held back for it, if there is one.
    """

    starts: tuple[Start, ...] = ()
    evictions: tuple[Eviction, ...] = ()
    waits: tuple[Wait, ...] = ()
    unfinished: bool = False
    reserved_for: str | None = None
