"""The counters of what is allocated: the only code that moves them.

The caller has the cluster's lock; the CHECK constraints refuse what would over-commit.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from clusters.models import Cluster
from clusters.node_changes import apply_pending_changes

Amounts = Iterable[int]  # cpu_milli, ram_mib, gpu

# Returns the nodes that have become empty and had to.
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


class AllocationChange:
    """Amounts to allocate by node (None: the pool), summed up; negative ones are freed."""

    def __init__(self) -> None:
        self.by_node: dict[str | None, tuple[int, int, int]] = {}

    def add(self, node_id: str | None, amounts: Amounts) -> None:
        before = self.by_node.get(node_id, (0, 0, 0))
        cpu_milli, ram_mib, gpu = (a + b for a, b in zip(before, amounts, strict=True))
        self.by_node[node_id] = (cpu_milli, ram_mib, gpu)

    def total(self) -> tuple[int, int, int]:
        columns = zip(*self.by_node.values(), strict=True)
        cpu_milli, ram_mib, gpu = [sum(column) for column in columns] or (0, 0, 0)
        return cpu_milli, ram_mib, gpu


def move(cluster_id: UUID, change: AllocationChange, **columns: Any) -> None:
    """Add `change` to the cluster's counters and its nodes'. `columns` of the cluster ride along.

    One query, and one more where nodes are concerned. A node that was to leave or shrink once it is
    empty does so here, in the transaction that empties it.
    """
    cpu_milli, ram_mib, gpu = change.total()
    Cluster.objects.filter(pk=cluster_id).update(
        allocated_cpu_milli=F("allocated_cpu_milli") + cpu_milli,
        allocated_ram_mib=F("allocated_ram_mib") + ram_mib,
        allocated_gpu=F("allocated_gpu") + gpu,
        **columns,
    )
    by_node = {node: amounts for node, amounts in change.by_node.items() if node is not None}
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
