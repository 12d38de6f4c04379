"""The planner's answer: what starts where, what is evicted, and why the others wait."""

from dataclasses import dataclass

from scheduler.engine.reasons import Reason
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Placement


@dataclass(frozen=True, slots=True)
class Start:
    """A workload is admitted, after its victims have released their allocations.

    `withheld` is, by node, what it could not draw on at that moment although it was free: reserved
    for the head, or for a starved workload. The checker judges victims with that in mind.
    `proved` says that no cheaper victims exist; False where the search was cut short (search.py).
    `jointly`: the victims were chosen together with those of other preemptors of its class, and
    `proved` is about all of these (joint.py).
    `alternative` are the next-best victims: the cheapest had the dearest of these not been there.
    `by_image`: of equal nodes it got one that has its image, in place of the one whose turn it was.
    `given` is what each replica gets of a workload that takes whole nodes, or all GPUs of nodes.
    """

    workload_id: str
    placement: tuple[Placement, ...]
    victims: tuple[str, ...] = ()
    proved: bool = True
    alternative: tuple[str, ...] = ()
    alternative_cost: int = 0
    withheld: tuple[tuple[str | None, Resources], ...] = ()
    jointly: bool = False
    by_image: bool = False
    given: Resources | None = None


@dataclass(frozen=True, slots=True)
class Eviction:
    """A running workload goes back to the queue. `by` is its preemptor, None for a drain.

    `lost_ms` is the work lost: time since it started or last reported a checkpoint. `cost` is that
    work and the disruption, weighed by its share of the cluster (costs.py).
    """

    workload_id: str
    reason: Reason
    by: str | None = None
    lost_ms: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Why every workload of a scheduling key waits, or only the one of `workload_id`."""

    scheduling_key: str
    reason: Reason
    workload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Starts in the order in which they were decided, in which they never over-commit.

    `unfinished` asks for another cycle: this one reached its limit with workloads left, or started
    a service while capacity is reserved, perhaps in vain since. `reserved_for` are the starved
    workloads for which capacity is reserved, in their order. `due_ms` is when another cycle is to
    follow though nothing else happens: workloads wait until then instead of preempting.
    """

    starts: tuple[Start, ...] = ()
    evictions: tuple[Eviction, ...] = ()
    waits: tuple[Wait, ...] = ()
    unfinished: bool = False
    reserved_for: tuple[str, ...] = ()
    due_ms: int | None = None
