"""A snapshot as it will be later, if nothing else changes."""

from collections import Counter
from dataclasses import replace

from scheduler.engine.placement.windows import nodes_at
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Node, Running, Snapshot, SweepLimit


def at_moment(snapshot: Snapshot, at_ms: int) -> Snapshot:
    """The snapshot at this moment: what has to end by then has ended, windows have opened and
    closed nodes, nothing else has changed."""
    over = [each for each in snapshot.running if each.ends_ms is not None and each.ends_ms <= at_ms]
    return without(snapshot, over, now_ms=max(at_ms, snapshot.now_ms))


def without(snapshot: Snapshot, ended: list[Running], now_ms: int | None = None) -> Snapshot:
    """The snapshot after these workloads have ended, at that moment, or else when the last of them
    ends."""
    gone = {running.id for running in ended}
    freed: dict[str | None, Resources] = {}
    for running in ended:
        for placement in running.placement:
            amount = running.request.times(placement.replicas)
            freed[placement.node_id] = freed.get(placement.node_id, Resources()).plus(amount)
    allocated = snapshot.allocated
    for amount in freed.values():
        allocated = allocated.minus(amount)
    if now_ms is None:
        now_ms = max([snapshot.now_ms, *(each.ends_ms or 0 for each in ended)])
    nodes = tuple(_emptied(node, freed.get(node.id)) for node in snapshot.nodes)
    return replace(
        snapshot,
        allocated=allocated,
        allocated_by_owner=_still_allocated(snapshot, ended),
        sweeps=_still_running(snapshot, ended),
        nodes=nodes_at(nodes, snapshot.windows, now_ms),
        running=tuple(each for each in snapshot.running if each.id not in gone),
        now_ms=now_ms,
    )


def _still_allocated(snapshot: Snapshot, ended: list[Running]) -> tuple[tuple[str, Resources], ...]:
    """The snapshot's `allocated_by_owner` after these workloads have ended."""
    allocated = dict(snapshot.allocated_by_owner)
    for running in ended:
        if running.owner in allocated:
            allocated[running.owner] = allocated[running.owner].minus(running.total)
    return tuple(allocated.items())


def _still_running(snapshot: Snapshot, ended: list[Running]) -> tuple[SweepLimit, ...]:
    """The snapshot's `sweeps` after these workloads have ended."""
    if not snapshot.sweeps:
        return ()
    gone = Counter(running.sweep for running in ended)
    return tuple(
        replace(each, allocated=each.allocated - gone[each.id]) for each in snapshot.sweeps
    )


def _emptied(node: Node, freed: Resources | None) -> Node:
    return node if freed is None else replace(node, allocated=node.allocated.minus(freed))
