"""The latest moments at which running workloads release their allocations: reservations rely on
them."""

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot, Workload

End = tuple[int, Where, Resources]  # (latest end in ms, bins with replicas, request of a replica)


def ends_of(snapshot: Snapshot, capacity: Capacity) -> dict[str, End]:
    """By id, the ends of the running workloads that have a time limit."""
    return {
        running.id: (running.ends_ms, capacity.bins_of(running.placement), running.request)
        for running in snapshot.running
        if running.ends_ms is not None
    }


def runs_after(at_ms: int, workload: Workload, now_ms: int) -> bool:
    """Whether the workload, started now, might still run after `at_ms`."""
    return workload.limit_s is None or now_ms + workload.limit_s * 1000 > at_ms
