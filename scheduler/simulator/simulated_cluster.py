"""The simulated cluster: its running workloads, and what they have allocated."""

from dataclasses import replace

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Node, Running, Snapshot, SweepLimit
from scheduler.simulator.cluster_spec import Cluster


class SimulatedCluster:
    """Applies the engine's placements without a check; in tests engine/invariants.py checks
    them."""

    def __init__(self, cluster: Cluster, checkpoint_s: int | None = None) -> None:
        """With `checkpoint_s`, every workload reports a checkpoint at that interval, in seconds."""
        self.allocated = Resources()
        self._allocated_by_owner: dict[str, Resources] = {}  # by owner
        self._sweeps: dict[str, SweepLimit] = {}  # by id
        self._nodes = {node.id: node for node in cluster.nodes}
        self._running: dict[str, Running] = {}
        self._checkpoint_ms = checkpoint_s * 1000 if checkpoint_s else None

    @classmethod
    def of(cls, snapshot: Snapshot) -> "SimulatedCluster":
        """A cluster as it is at a moment, with all that runs."""
        found = cls(Cluster(snapshot.total, snapshot.nodes, snapshot.classes))
        found.allocated = snapshot.allocated
        found._allocated_by_owner = dict(snapshot.allocated_by_owner)
        found._sweeps = {each.id: each for each in snapshot.sweeps}
        found._running = {each.id: each for each in snapshot.running}
        return found

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self._nodes.values())

    def running(self, now_ms: int) -> tuple[Running, ...]:
        every_ms = self._checkpoint_ms
        if every_ms is None:
            return tuple(self._running.values())
        return tuple(
            replace(each, checkpoint_ms=now_ms - (now_ms - (each.started_ms or 0)) % every_ms)
            for each in self._running.values()
        )

    def allocated_by_owner(self) -> tuple[tuple[str, Resources], ...]:
        """The allocation of each owner; zero for an owner whose last workload has left."""
        return tuple(self._allocated_by_owner.items())

    def sweeps(self) -> tuple[SweepLimit, ...]:
        return tuple(self._sweeps.values())

    def enter(self, running: Running) -> None:
        self._running[running.id] = running
        self._count(running, 1)

    def leave(self, id_: str) -> Running:
        running = self._running.pop(id_)
        self._count(running, -1)
        return running

    def give_back(self, node_id: str | None, amount: Resources) -> None:
        """Free what no workload here has allocated."""
        self.allocated = self.allocated.minus(amount)
        self._grow(node_id, amount.times(-1))

    def _count(self, running: Running, sign: int) -> None:
        more = running.total.times(sign)
        self.allocated = self.allocated.plus(more)
        self._allocated_by_owner[running.owner] = self._allocated_by_owner.get(
            running.owner, Resources()
        ).plus(more)
        if (sweep := self._sweeps.get(running.sweep)) is not None:
            counted = replace(sweep, allocated=sweep.allocated + sign)
            self._sweeps[sweep.id] = counted
        for placement in running.placement:
            self._grow(placement.node_id, running.request.times(sign * placement.replicas))

    def _grow(self, node_id: str | None, more: Resources) -> None:
        node = self._nodes.get(node_id or "")
        if node is not None:
            self._nodes[node.id] = replace(node, allocated=node.allocated.plus(more))
