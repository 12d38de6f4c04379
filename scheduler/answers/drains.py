"""What a drain of a node, or a maintenance window, would do: which deployments it affects, what
they lose, and where they would go.

The production planner says where, on a snapshot of one moment that is read without a lock: the
nodes are closed, and what runs on them waits again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from clusters.models import Cluster, DrainMode, Node, WindowMode
from deployments.models import Deployment
from mlops_platform.api.ids import milliseconds, moment
from scheduler.answers.explain import as_workload
from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.preemption.costs import lost_ms
from scheduler.engine.resources import ZERO, add_up
from scheduler.engine.snapshot import CORDONED, Running, Workload
from scheduler.store import part_reader, see_one_moment
from scheduler.store.volumes import local_volumes, names_of

MOST_SHOWN = 1000
MOST_STEPS = 400_000  # of the plan; what it does not reach is shown as waiting


def preview(node: Node, mode: str, deadline: datetime | None) -> dict[str, Any]:
    """The values of DrainEffectSerializer. A fixed number of queries."""
    until_ms = None if deadline is None else milliseconds(deadline)

    def lost_s(running: Running, now_ms: int) -> int:
        return _lost_s(running, now_ms if mode == DrainMode.NOW else until_ms)

    return _preview(node.cluster_id, {str(node.pk)}, lost_s)


def preview_window(
    cluster: Cluster, nodes: Sequence[Node], mode: str, begins_at: datetime
) -> dict[str, Any]:
    """The same of a maintenance window: of what may still run there at its begin."""
    begins_ms = milliseconds(begins_at)

    def lost_s(running: Running, now_ms: int) -> int:
        return _lost_s(running, begins_ms if mode == WindowMode.NOW else None)

    return _preview(cluster.pk, {str(node.pk) for node in nodes}, lost_s, still_at_ms=begins_ms)


def _preview(
    cluster_id: UUID,
    node_ids: Collection[str],
    lost_s: Callable[[Running, int], int],
    still_at_ms: int = 0,
) -> dict[str, Any]:
    """`lost_s` is what a workload loses, given the present time; those that have ended by
    `still_at_ms` are left out."""
    with transaction.atomic():
        see_one_moment()
        snapshot = part_reader(cluster_id).ever.snapshot
        affected = [
            each
            for each in snapshot.running
            if not each.stopping
            and (each.ends_ms is None or each.ends_ms > still_at_ms)
            and any(place.node_id in node_ids for place in each.placement)
        ]
        rows = _rows(affected)
    plan = make_plan(_without(snapshot, node_ids, affected, rows), with_waits=False)
    goes_to = _nodes(snapshot, plan)
    affected = [each for each in affected if each.id in rows]
    affected.sort(key=lambda each: (each.started_ms or snapshot.now_ms, each.id))
    lost = {each.id: lost_s(each, snapshot.now_ms) for each in affected}
    return {
        "total": {
            "deployments": len(affected),
            "waiting": sum(not goes_to.get(each.id) for each in affected),
            "lost_s": sum(lost.values()),
            "lost_gpu_s": sum(lost[each.id] * each.total.gpu for each in affected),
        },
        "deployments": [
            _shown(rows[each.id], each, snapshot, lost[each.id], goes_to.get(each.id, []))
            for each in affected[:MOST_SHOWN]
        ],
        "complete": not plan.unfinished,
    }


def _rows(affected: Sequence[Running]) -> dict[str, Deployment]:
    """By id. Two queries, and one for volumes that only some nodes have."""
    found = Deployment.objects.filter(pk__in=[UUID(each.id) for each in affected])
    return {str(row.pk): row for row in found.select_related("owner", "priority_class", "cluster")}


def _without(
    snapshot: Snapshot,
    node_ids: Collection[str],
    affected: Sequence[Running],
    rows: Mapping[str, Deployment],
) -> Snapshot:
    """The cluster with these nodes closed, and what ran there in the queue, since now."""
    freed: dict[str | None, list[Any]] = {}
    for each in affected:
        for place in each.placement:
            freed.setdefault(place.node_id, []).append(each.request.times(place.replicas))
    nodes = tuple(
        replace(
            each,
            allocated=each.allocated.minus(add_up(freed.get(each.id, [ZERO]))),
            state=CORDONED if each.id in node_ids else each.state,
        )
        for each in snapshot.nodes
    )
    gone = {each.id for each in affected}
    first = next(iter(rows.values()), None)
    local = names_of(local_volumes([first.cluster]).get(first.cluster_id, ())) if first else ()
    again: list[Workload] = [
        replace(as_workload(row, local), queued_ms=snapshot.now_ms) for row in rows.values()
    ]
    by_owner = dict(snapshot.allocated_by_owner)
    for each in affected:
        if each.owner in by_owner:
            by_owner[each.owner] = by_owner[each.owner].minus(each.total)
    return replace(
        snapshot,
        nodes=nodes,
        allocated=snapshot.allocated.minus(add_up([each.total for each in affected] or [ZERO])),
        running=tuple(each for each in snapshot.running if each.id not in gone),
        queued=(*(each for each in snapshot.queued if each.id not in gone), *again),
        allocated_by_owner=tuple(sorted(by_owner.items())),
        max_starts=len(snapshot.queued) + len(again),
        most_steps=MOST_STEPS,
    )


def _nodes(snapshot: Snapshot, plan: Plan) -> dict[str, list[str]]:
    """The names of the nodes on which each workload starts."""
    names: dict[str | None, str] = {node.id: node.name for node in snapshot.nodes}
    return {
        start.workload_id: [names[place.node_id] for place in start.placement]
        for start in plan.starts
    }


def _lost_s(running: Running, at_ms: int | None) -> int:
    """The work that it loses at most: at the moment at which it may be evicted, if any."""
    if at_ms is None:  # it leaves by itself, or with its work saved
        return 0
    if running.ends_ms is not None and running.ends_ms <= at_ms:
        return 0
    return lost_ms(running, at_ms) // 1000


def _shown(
    row: Deployment, running: Running, snapshot: Snapshot, lost_s: int, goes_to: list[str]
) -> dict[str, Any]:
    began_ms = running.started_ms
    return {
        "id": str(row.pk),
        "name": row.name or None,
        "owner": row.owner.username,
        "priority": running.priority,
        "replicas": running.replicas,
        "gpu": running.total.gpu,
        "running_s": 0 if began_ms is None else (snapshot.now_ms - began_ms) // 1000,
        "ends_by": None if running.ends_ms is None else moment(running.ends_ms),
        "lost_s": lost_s,
        "goes_to": goes_to,
    }
