"""Who has to leave because a cluster or node is drained. Nobody's preemption, no failure."""

from scheduler.engine import reasons
from scheduler.engine.plan import Eviction
from scheduler.engine.preemption.costs import cost, lost_ms
from scheduler.engine.snapshot import DRAINING, Running, Snapshot


def drained(snapshot: Snapshot) -> list[Running]:
    """Those that hold some of what is draining, in the order of their ids; a gang leaves whole."""
    leaving = list(snapshot.running)
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
