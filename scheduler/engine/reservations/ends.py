"""When running workloads give back their allocations at the latest: what reservations count on."""

from collections.abc import Set

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot, Workload

End = tuple[int, Where, Resources]  # (until when, bins with replicas, request of one replica)


def ends_of(snapshot: Snapshot, capacity: Capacity, gone: Set[str]) -> list[End]:
    """Who holds what until when, of those with a time limit and not `gone`."""
    return [
        (running.ends_ms, capacity.bins_of(running.placement), running.request)
        for running in snapshot.running
        if running.ends_ms is not None and running.id not in gone
    ]


def runs_after(at_ms: int, workload: Workload, now_ms: int) -> bool:
    """Whether it might still run then if it started now."""
    return workload.limit_s is None or now_ms + workload.limit_s * 1000 > at_ms
