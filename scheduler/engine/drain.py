"""Evictions from a cluster or node that drains: neither a preemption nor a failure."""

from scheduler.engine import reasons
from scheduler.engine.plan import Eviction
from scheduler.engine.preemption.costs import cost, lost_ms
from scheduler.engine.snapshot import DRAINING, Running, Snapshot


def is_draining(snapshot: Snapshot) -> bool:
    """Whether the cluster drains, or one of its nodes."""
    return snapshot.state == DRAINING or any(node.state == DRAINING for node in snapshot.nodes)


def drained(snapshot: Snapshot) -> list[Running]:
    """The running workloads that a drain evicts, by id; a gang leaves whole."""
    leaving = [each for each in snapshot.running if not each.stopping]
    if snapshot.state != DRAINING:
        nodes = {node.id for node in snapshot.nodes if node.state == DRAINING}
        if not nodes:
            return []
        leaving = [each for each in leaving if any(p.node_id in nodes for p in each.placement)]
    return sorted(leaving, key=lambda each: each.id)


def drain(snapshot: Snapshot, running: Running) -> Eviction:
    return Eviction(
        running.id,
        reasons.DRAINED,
        lost_ms=lost_ms(running, snapshot.now_ms),
        cost=cost(running, snapshot.total, snapshot.now_ms),
    )
