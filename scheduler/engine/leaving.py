"""Which running workloads a drain evicts: of the whole cluster, or of a node, at once or at their
checkpoints."""

from collections.abc import Mapping

from scheduler.engine.snapshot import DRAINING, Running, Snapshot


def is_draining(snapshot: Snapshot) -> bool:
    """Whether the cluster drains, or one of its nodes."""
    return snapshot.state == DRAINING or any(
        node.state == DRAINING or node.saved_since_ms is not None for node in snapshot.nodes
    )


def drained(snapshot: Snapshot) -> list[Running]:
    """The running workloads that a drain evicts, by id; a gang leaves whole."""
    leaving = [each for each in snapshot.running if not each.stopping]
    if snapshot.state != DRAINING:
        draining = {node.id for node in snapshot.nodes if node.state == DRAINING}
        saved: dict[str | None, int] = {
            node.id: node.saved_since_ms
            for node in snapshot.nodes
            if node.saved_since_ms is not None and node.state != DRAINING
        }
        if not draining and not saved:
            return []
        leaving = [
            each
            for each in leaving
            if any(p.node_id in draining for p in each.placement)
            or (saved and _has_saved(each, saved))
        ]
    return sorted(leaving, key=lambda each: each.id)


def _has_saved(running: Running, since_ms: Mapping[str | None, int]) -> bool:
    at = running.checkpoint_ms
    if at is None:
        return False
    return any(p.node_id in since_ms and at >= since_ms[p.node_id] for p in running.placement)
