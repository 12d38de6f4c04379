"""What a snapshot implies beside its queue, derived once and shared by all that need it."""

from dataclasses import dataclass, replace
from functools import cached_property

from scheduler.engine.leaving import drained, is_draining
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.snapshot import LocalImage, PriorityClass, Running, Snapshot, Workload


@dataclass(frozen=True)
class ClusterPart:
    """What depends neither on the queue nor on the running workloads."""

    _snapshot: Snapshot

    @cached_property
    def capacity(self) -> Capacity:
        return Capacity(self._snapshot)

    @cached_property
    def classes(self) -> dict[str, PriorityClass]:
        """By name."""
        return {each.name: each for each in self._snapshot.classes}

    @cached_property
    def usage(self) -> OwnerUsage:
        return OwnerUsage(self._snapshot)


@dataclass(frozen=True)
class RunningPart:
    """What depends on the running workloads, but not on the queue."""

    _snapshot: Snapshot
    _cluster: ClusterPart

    @cached_property
    def leaving(self) -> list[Running]:
        """The running workloads that a drain evicts."""
        return drained(self._snapshot) if is_draining(self._snapshot) else []

    @cached_property
    def long_running(self) -> LongRunning:
        return LongRunning(self._snapshot, self._cluster.capacity, self._cluster.classes)


class ClusterView:
    """A snapshot with its derived views, each made when it is first asked for.

    They show the moment before the cycle, and are for reading: a cycle changes copies.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        cluster: ClusterPart | None = None,
        running: RunningPart | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.cluster = cluster or ClusterPart(snapshot)
        self.running = running or RunningPart(snapshot, self.cluster)

    def with_queue(self, queued: tuple[Workload, ...]) -> "ClusterView":
        """The same cluster with another queue; it shares all derived views."""
        return ClusterView(replace(self.snapshot, queued=queued), self.cluster, self.running)

    def with_steps(self, most_steps: int) -> "ClusterView":
        """The same, for a plan of so many steps."""
        snapshot = replace(self.snapshot, most_steps=most_steps)
        return ClusterView(snapshot, self.cluster, self.running)

    def with_local_images(self, images: tuple[LocalImage, ...]) -> "ClusterView":
        """The same cluster and queue; which nodes have images. It shares all derived views."""
        snapshot = replace(self.snapshot, local_images=images)
        return ClusterView(snapshot, self.cluster, self.running)

    def with_running(self, running: tuple[Running, ...]) -> "ClusterView":
        """The same cluster and queue with other running workloads."""
        return ClusterView(replace(self.snapshot, running=running), self.cluster)
