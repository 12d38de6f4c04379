"""Changes the counters of allocated capacity; no other code does.

The caller has the cluster's lock; CHECK constraints refuse to allocate more than there is.
"""

import operator
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from clusters.services.node_changes import apply_pending_changes
from mlops_platform.api.resources import RESOURCES, Amounts

_MOVE = """
UPDATE clusters_cluster c
   SET allocated_cpu_milli = c.allocated_cpu_milli + by.cpu_milli,
       allocated_ram_mib = c.allocated_ram_mib + by.ram_mib,
       allocated_gpu = c.allocated_gpu + by.gpu,
       changed_at = coalesce(%(changed_at)s, c.changed_at),
       evaluated_at = coalesce(%(evaluated_at)s, c.evaluated_at)
  FROM unnest(%(ids)s::uuid[], %(cpu_milli)s::bigint[], %(ram_mib)s::bigint[], %(gpu)s::bigint[])
       AS by(id, cpu_milli, ram_mib, gpu)
 WHERE c.id = by.id
"""

# Returns the nodes that are empty now and drain or have a pending change, with their clusters.
_MOVE_NODES = """
WITH moved AS (
    UPDATE clusters_node n
       SET allocated_cpu_milli = n.allocated_cpu_milli + by.cpu_milli,
           allocated_ram_mib = n.allocated_ram_mib + by.ram_mib,
           allocated_gpu = n.allocated_gpu + by.gpu
      FROM unnest(
           %(ids)s::uuid[], %(cpu_milli)s::bigint[], %(ram_mib)s::bigint[], %(gpu)s::bigint[])
           AS by(id, cpu_milli, ram_mib, gpu)
     WHERE n.id = by.id AND n.cluster_id = ANY(%(clusters)s::uuid[])
    RETURNING n.*)
SELECT cluster_id, id FROM moved
 WHERE (pending IS NOT NULL OR state = 'DRAINING')
   AND (allocated_cpu_milli, allocated_ram_mib, allocated_gpu) = (0, 0, 0)
"""


class AllocationChange(dict[str | None, Amounts]):
    """Amounts to allocate by node (None: the pool), summed up; negative ones are freed."""

    def add(self, node_id: str | None, amounts: Iterable[int]) -> None:
        self[node_id] = Amounts(*map(operator.add, self.get(node_id, Amounts()), amounts))


def move(
    changes: Mapping[UUID, AllocationChange],
    *,
    changed_at: datetime | None = None,
    evaluated_at: datetime | None = None,
) -> None:
    """Add the changes to the counters of clusters and their nodes, and set the times of the
    clusters that are given.

    One query, and one more with nodes. The pending change of a node that is empty now is made here,
    and its drain ends, in the transaction that empties it.
    """
    sums: dict[UUID, list[int]] = {}
    by_node: dict[str, Amounts] = {}
    for cluster_id, change in changes.items():
        amounts = zip(Amounts(), *change.values(), strict=True)
        sums[cluster_id] = [sum(of_resource) for of_resource in amounts]
        by_node |= {node: each for node, each in change.items() if node is not None}
    emptied: dict[UUID, list[UUID]] = {}
    with connection.cursor() as cursor:
        columns: dict[str, Any] = dict(
            zip(RESOURCES, map(list, zip(*sums.values(), strict=True)), strict=True)
        )
        times = {"changed_at": changed_at, "evaluated_at": evaluated_at}
        cursor.execute(_MOVE, {"ids": list(sums), **columns, **times})
        if not by_node:
            return
        columns = dict(zip(RESOURCES, map(list, zip(*by_node.values(), strict=True)), strict=True))
        cursor.execute(_MOVE_NODES, {"ids": list(by_node), "clusters": list(sums), **columns})
        for cluster_id, node_id in cursor.fetchall():
            emptied.setdefault(cluster_id, []).append(node_id)
    for cluster_id, node_ids in emptied.items():
        apply_pending_changes(cluster_id, node_ids)
