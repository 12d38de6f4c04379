"""Evictions from a cluster or node that drains: neither a preemption nor a failure."""

from scheduler.engine import reasons
from scheduler.engine.plan import Eviction
from scheduler.engine.preemption.costs import cost, lost_ms
from scheduler.engine.snapshot import Running, Snapshot


def drain(snapshot: Snapshot, running: Running) -> Eviction:
    return Eviction(
        running.id,
        reasons.DRAINED,
        lost_ms=lost_ms(running, snapshot.now_ms),
        cost=cost(running, snapshot.total, snapshot.now_ms),
    )
