"""What happens to a node once it is empty (its drain ends, a change that has waited is made), and
totals that follow the nodes.

A stop, an end or a cycle that drains a node moves the node's counters through `allocation.move`,
under the cluster's lock, and the change that waited is made in the same transaction. So no empty
node waits: after a crash the node is either allocated still, and the next cycle drains it, or
changed. An evicted workload in its grace period is on its node still, though no capacity there is
allocated to it: the node is empty once that workload has ended too.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Sum, When
from django.db.models.functions import Now

from clusters import hooks, recording
from clusters.models import Cluster, Endpoint, Node, NodeState, Runtime
from clusters.nodes.maintenance import DRAIN_COLUMNS
from clusters.signals import cluster_changed
from mlops_platform.database.clock import database_now
from organizations.events.models import OrganizationEventType as Type
from organizations.events.recording import columns_of

DELETE = {"delete": True}
_DELETE_EMPTY = """
WITH gone AS (
    DELETE FROM clusters_node
     WHERE id = ANY(%s) AND allocated_cpu_milli = 0 AND allocated_ram_mib = 0 AND allocated_gpu = 0
    RETURNING id
), _ AS (
    DELETE FROM clusters_maintenancewindow_nodes windows USING gone WHERE windows.node_id = gone.id
)
DELETE FROM clusters_nodeimages images USING gone WHERE images.node_id = gone.id
"""


def apply_pending_changes(cluster_id: UUID, node_ids: Sequence[UUID]) -> None:
    """End the drains of these nodes, on which nothing is allocated any more, and make the changes
    that waited for that. A node with an evicted workload that has not ended is left out.

    One query for each node, and five.
    """
    empty = set(node_ids).difference(hooks.terminating_nodes(cluster_id))
    if not empty:
        return
    now = database_now()
    found = Node.objects.filter(cluster_id=cluster_id, pk__in=empty)
    for node in found.select_related("cluster"):
        if node.pending == DELETE:
            remove(node)
            continue
        if node.pending is not None:
            before = columns_of(node, recording.NODE_SETTINGS)
            apply_pending(node, node.pending)
            after = columns_of(node, recording.NODE_SETTINGS)
            recording.of_node(node, Type.NODE_CHANGED, before, after)
        if node.state == NodeState.DRAINING:
            node.finish_drain(now)
            node.save(update_fields=["state", *DRAIN_COLUMNS])
            recording.of_state(node)
    follow_nodes(cluster_id)


def remove(node: Node) -> None:
    """Delete the node, which is empty, and its endpoint where that is a Docker engine, which is one
    node's own."""
    delete_empty([node.pk])
    before = columns_of(node, recording.NODE_SETTINGS)
    recording.of_node(node, Type.NODE_DELETED, before, None)
    if node.endpoint_id is not None:
        own = Endpoint.objects.filter(pk=node.endpoint_id, cluster__runtime=Runtime.DOCKER)
        own.delete()


def delete_empty(node_ids: Sequence[UUID]) -> None:
    """Delete those of the nodes on which nothing is allocated, the lists of their images, and
    their places in windows. One query, where Django's would read the nodes, and delete a
    hundred by each."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_EMPTY, [list(node_ids)])


def apply_pending(node: Node, columns: dict[str, Any]) -> None:
    """Set the columns that waited, the state from before the drain among them."""
    for name, value in columns.items():
        setattr(node, name, value)
    node.pending = None
    if node.state not in (NodeState.DRAINING, NodeState.DRAINED):
        node.forget_drain()
    node.save(update_fields=[*columns, "pending", *DRAIN_COLUMNS])


def follow_nodes(cluster_id: UUID) -> None:
    """Make the cluster's totals the sum of its nodes, and wake the scheduler. Two queries.

    A closed node counts too: its capacity exists, though no workload may start there now. Without
    nodes a simulated cluster keeps its totals and is one pool of them; any other has no capacity.
    """
    sums = Node.objects.filter(cluster_id=cluster_id).aggregate(
        total_cpu_milli=Sum("cpu_milli"), total_ram_mib=Sum("ram_mib"), total_gpu=Sum("gpu")
    )
    columns = {name: _without_nodes(name) if n is None else n for name, n in sums.items()}
    note_change(cluster_id, **columns)


def _without_nodes(total: str) -> Case:
    return Case(When(runtime=Runtime.SIMULATED, then=F(total)), default=0)


def note_change(cluster_id: UUID, **columns: Any) -> None:
    """Set the columns and `changed_at`, and send the news to the scheduler. One query."""
    Cluster.objects.filter(pk=cluster_id).update(changed_at=Now(), **columns)
    cluster_changed.send(Cluster, cluster_id=cluster_id)
