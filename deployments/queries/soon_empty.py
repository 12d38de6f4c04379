"""Which node is empty, or has all its GPUs free, once a single deployment ends."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from clusters.models import Node, NodeState
from deployments.models import Deployment
from deployments.whole_nodes import EXCLUSIVE

MOST_PLACED = 5000  # deployments of the clusters asked about, beyond which there is no answer

_ALONE = """
WITH placed AS (
    SELECT (e ->> 'node_id')::uuid AS node_id, d.id, d.gpu,
           d.started_at + d.max_runtime_s * interval '1 second' AS ends_at
      FROM deployments_deployment d, jsonb_array_elements(d.placement) e
     WHERE d.cluster_id = ANY(%(clusters)s) AND d.status IN ('STARTING', 'RUNNING', 'STOPPING')
       AND NOT d.yielded
     LIMIT %(most)s + 1
)
SELECT node_id, count(*), count(*) FILTER (WHERE gpu > 0),
       min(id::text) FILTER (WHERE gpu > 0), min(id::text), min(ends_at)
  FROM placed WHERE node_id IS NOT NULL GROUP BY node_id
"""


class _Occupied(NamedTuple):
    """A node, and the single deployment on it, or the single one there that has GPUs."""

    node: Node
    only: str | None
    only_with_gpus: str | None
    ends_at: datetime | None


def soon_empty(waiting: Collection[Deployment]) -> Mapping[UUID, dict[str, str]]:
    """For single replicas that take whole nodes, or all GPUs: the name of an open node that is
    large enough, and the deployment `after` the end of which it is empty. The first end by a time
    limit comes first.

    Two queries, none without any; nothing where more than MOST_PLACED are placed.
    """
    clusters = {row.cluster_id for row in waiting}
    if not clusters:
        return {}
    occupied = _occupied(clusters)
    found = {}
    for row in waiting:
        for each in occupied[row.cluster_id]:
            after = each.only if EXCLUSIVE in row.whole else each.only_with_gpus
            if after is not None and _suits(each.node, row):
                found[row.pk] = {"node": each.node.name, "after": after}
                break
    return found


def _occupied(clusters: Collection[UUID]) -> Mapping[UUID, list[_Occupied]]:
    with connection.cursor() as cursor:
        cursor.execute(_ALONE, {"clusters": list(clusters), "most": MOST_PLACED})
        rows = cursor.fetchall()
    if sum(row[1] for row in rows) > MOST_PLACED:
        return defaultdict(list)
    alone = {row[0]: row for row in rows if 1 in row[1:3]}
    found: dict[UUID, list[_Occupied]] = defaultdict(list)
    for node in Node.objects.filter(pk__in=list(alone)):
        if node.effective_state == NodeState.READY:
            _, number, with_gpus, gpu_id, id_, ends_at = alone[node.pk]
            only = id_ if number == 1 else None
            only_with_gpus = gpu_id if with_gpus == 1 else None
            found[node.cluster_id].append(_Occupied(node, only, only_with_gpus, ends_at))
    for those in found.values():
        those.sort(key=_by_end)
    return found


def _suits(node: Node, row: Deployment) -> bool:
    has = (node.cpu_milli, node.ram_mib, node.gpu)
    labels = node.labels.items() >= row.node_selector.items()
    large_enough = all(most >= least for most, least in zip(has, row.asked, strict=True))
    return labels and large_enough and node.pk != row.avoided_node_id


def _by_end(occupied: _Occupied) -> tuple[float, str]:
    ends_at = occupied.ends_at
    return (float("inf") if ends_at is None else ends_at.timestamp(), occupied.node.name)
