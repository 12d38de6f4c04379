"""What the timelines and reasons of evicted deployments say of the drains that evicted them."""

from typing import Any
from uuid import UUID

from clusters.models import Node
from scheduler.engine import Plan, Snapshot
from scheduler.engine.snapshot import DRAINING


def drained_details(snapshot: Snapshot, plan: Plan) -> dict[str, dict[str, Any]]:
    """Of each workload that the plan evicts for a drain, by id: `node`, the drained nodes that it
    was on, and where these are known `drained_by`, whose drain that is, and `drained_for`, why.
    Nothing where the whole cluster drains, which takes no query; else one."""
    drains = [each for each in plan.evictions if not each.by]
    draining = {
        node.id: node.name
        for node in snapshot.nodes
        if node.state == DRAINING or node.saved_since_ms is not None
    }
    asked: dict[str, dict[str, Any]] = {}
    if draining:
        found = Node.objects.filter(pk__in=[UUID(id_) for id_ in draining])
        asked = {str(pk): drain or {} for pk, drain in found.values_list("pk", "drain")}
    placements = {each.id: each.placement for each in snapshot.running}
    details: dict[str, dict[str, Any]] = {}
    for each in drains:
        on = {place.node_id for place in placements[each.workload_id]}
        nodes = sorted((draining[id_], id_) for id_ in on if id_ in draining)
        line: dict[str, Any] = {**each.reason.details}
        if nodes:
            line["node"] = ", ".join(name for name, _ in nodes)
            drain = asked.get(nodes[0][1], {})
            known = {"drained_by": drain.get("by"), "drained_for": drain.get("reason")}
            line |= {name: value for name, value in known.items() if value}
        details[each.workload_id] = line
    return details
