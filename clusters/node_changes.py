"""Nodes that leave or shrink once they are empty, and totals that follow the nodes.

Whatever empties a node (a cycle that drains it, a stop, an end) moves its counters by
`capacity.move`, under the cluster's lock, and that settles the node in the same transaction. So
there is no moment at which a node is empty and still waits: a crash either leaves it held, and the
next cycle drains it, or finds it settled. Who was evicted and has its grace to end is on its node
still, though nothing is booked for it: the node is empty once it has ended too.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Sum, When
from django.utils import timezone

from clusters.models import Cluster, Endpoint, Node, Runtime
from clusters.signals import cluster_changed, guests_sought

DELETE = {"delete": True}


def settle(cluster_id: UUID, node_ids: Sequence[UUID]) -> None:
    """Do what was pending for nodes on which nothing is booked now, unless somebody lingers there.

    A query for each, and four.
    """
    empty = set(node_ids) - lingered_on(cluster_id)
    if not empty:
        return
    for node in Node.objects.filter(cluster_id=cluster_id, pk__in=empty):
        if node.pending == DELETE:
            remove(node)
        elif node.pending is not None:
            apply_pending(node, node.pending)
    follow_nodes(cluster_id)


def lingered_on(cluster_id: UUID) -> set[UUID]:
    """The nodes of the cluster on which somebody evicted has not ended yet. One query."""
    found: set[UUID] = set()
    for _, answer in guests_sought.send(Cluster, cluster_id=cluster_id):
        node_ids: Any = answer  # whatever the receiver gives: ids as text
        found |= {UUID(each) for each in node_ids}
    return found


def remove(node: Node) -> None:
    """Delete it, and the endpoint that is its own: a Docker engine is one node's."""
    Node.objects.filter(pk=node.pk).delete()
    if node.endpoint_id is not None:
        own = Endpoint.objects.filter(pk=node.endpoint_id, cluster__runtime=Runtime.DOCKER)
        own.delete()


def apply_pending(node: Node, columns: dict[str, Any]) -> None:
    """Set the columns that waited, the state from before the drain among them."""
    for name, value in columns.items():
        setattr(node, name, value)
    node.pending = None
    node.save(update_fields=[*columns, "pending"])


def follow_nodes(cluster_id: UUID) -> None:
    """Make the cluster's totals the sum of its nodes, and wake the scheduler. Two queries.

    A node that is closed counts too: it is capacity, which nobody may take just now. Without nodes
    a simulated cluster's totals stay, for it is a pool of them then; any other has nothing left.
    """
    sums = Node.objects.filter(cluster_id=cluster_id).aggregate(
        total_cpu_milli=Sum("cpu_milli"), total_ram_mib=Sum("ram_mib"), total_gpu=Sum("gpu")
    )
    ring(cluster_id, **{name: _without_nodes(name) if n is None else n for name, n in sums.items()})


def _without_nodes(total: str) -> Case:
    return Case(When(runtime=Runtime.SIMULATED, then=F(total)), default=0)


def ring(cluster_id: UUID, **columns: Any) -> None:
    """Note that the cluster has changed, with these columns, and say so."""
    Cluster.objects.filter(pk=cluster_id).update(changed_at=timezone.now(), **columns)
    cluster_changed.send(Cluster, cluster_id=cluster_id)
