"""Changes the counters of allocated capacity; no other code does.

The caller has the cluster's lock; CHECK constraints refuse to allocate more than there is.
"""

import operator
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from clusters.models import Cluster
from clusters.node_changes import apply_pending_changes
from mlops_platform.api.resources import Amounts

# Returns the nodes that are empty now and have a pending change.
_MOVE_NODES = """
WITH moved AS (
    UPDATE clusters_node n
       SET allocated_cpu_milli = n.allocated_cpu_milli + by.cpu_milli,
           allocated_ram_mib = n.allocated_ram_mib + by.ram_mib,
           allocated_gpu = n.allocated_gpu + by.gpu
      FROM unnest(
           %(ids)s::uuid[], %(cpu_milli)s::bigint[], %(ram_mib)s::bigint[], %(gpu)s::bigint[])
           AS by(id, cpu_milli, ram_mib, gpu)
     WHERE n.id = by.id AND n.cluster_id = %(cluster)s
    RETURNING n.*)
SELECT id FROM moved
 WHERE pending IS NOT NULL
   AND (allocated_cpu_milli, allocated_ram_mib, allocated_gpu) = (0, 0, 0)
"""


class AllocationChange(dict[str | None, Amounts]):
    """Amounts to allocate by node (None: the pool), summed up; negative ones are freed."""

    def add(self, node_id: str | None, amounts: Iterable[int]) -> None:
        self[node_id] = Amounts(*map(operator.add, self.get(node_id, Amounts()), amounts))


def move(cluster_id: UUID, change: AllocationChange, **columns: Any) -> None:
    """Add `change` to the counters of the cluster and its nodes, and set `columns` of the cluster.

    One query, and one more with nodes. The pending change of a node that is empty now is made here,
    in the transaction that empties it.
    """
    Cluster.objects.filter(pk=cluster_id).update(
        allocated_cpu_milli=F("allocated_cpu_milli")
        + sum(each.cpu_milli for each in change.values()),
        allocated_ram_mib=F("allocated_ram_mib") + sum(each.ram_mib for each in change.values()),
        allocated_gpu=F("allocated_gpu") + sum(each.gpu for each in change.values()),
        **columns,
    )
    by_node = {node: amounts for node, amounts in change.items() if node is not None}
    if by_node:
        cpus, rams, gpus = zip(*by_node.values(), strict=True)
        params: dict[str, Any] = {
            "cluster": cluster_id,
            "ids": list(by_node),
            "cpu_milli": list(cpus),
            "ram_mib": list(rams),
            "gpu": list(gpus),
        }
        with connection.cursor() as cursor:
            cursor.execute(_MOVE_NODES, params)
            emptied = [node_id for (node_id,) in cursor.fetchall()]
        if emptied:
            apply_pending_changes(cluster_id, emptied)
