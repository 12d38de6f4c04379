"""After a fault of a node, the next attempt starts elsewhere: a short exclusion, which the
scheduling key names and the planner sees as a label (scheduler/store/volumes.py).

An exclusion begins where an attempt goes back into the queue, and only where the other nodes have
room for the next one. It ends with the next start, or after AVOID_FOR: they may be full for long.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import prefetch_related_objects

from clusters.models import Cluster, Node, NodeState
from clusters.services.clusters import lock_cluster
from deployments.models import Deployment, Status
from deployments.reasons import codes
from deployments.reconciler.assessment import Assessment
from deployments.runtimes.base import Code
from deployments.scheduling_key import key_of
from deployments.signals import deployment_stopped
from mlops_platform.api.resources import RESOURCES

AVOID_FOR = timedelta(minutes=5)
BATCH = 500
OF_NODES = (codes.NODE_LOST, codes.CONTAINER_LOST, Code.DISRUPTED, Code.UNSCHEDULABLE)
"""The codes of faults that are a node's, and may come again there."""


def node_to_avoid(row: Deployment, assessment: Assessment) -> Node | None:
    """The node at fault, where the others, as they are when empty, would take the deployment. None
    where it is not known which of several it was. One query for all rows that share their cluster
    object, none without a fault of a node; with volumes, one more."""
    if assessment.code not in OF_NODES:
        return None
    on = {place["node_id"] for place in row.placement}
    failed = str(assessment.node_id or (on.pop() if len(on) == 1 else ""))
    prefetch_related_objects([row.cluster], "nodes")
    nodes = {str(node.pk): node for node in row.cluster.nodes.all()}
    if failed not in nodes:
        return None
    avoided = nodes.pop(failed)
    names = {mount["name"] for mount in row.volumes}
    if names:
        prefetch_related_objects([row.cluster], "volumes")
    volumes = [each for each in row.cluster.volumes.all() if each.name in names] if names else []
    fitting = sum(
        min(getattr(node, name) // amount for name in RESOURCES if (amount := getattr(row, name)))
        for node in nodes.values()
        if node.effective_state == NodeState.READY
        and row.node_selector.items() <= node.labels.items()
        and all(each.is_on(node.name, node.labels) for each in volumes)
    )
    return avoided if fitting >= row.replicas else None


def end_exclusions(cluster_id: UUID, now: datetime) -> None:
    """End those that are over by `now`, the database's. One query where none is."""
    over = Deployment.objects.filter(cluster_id=cluster_id, avoid_until__lte=now)
    if not over.filter(status=Status.QUEUED).exists():
        return
    with transaction.atomic():
        try:
            cluster = lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return
        queued = over.filter(status=Status.QUEUED).select_related("priority_class")
        rows = list(queued.select_for_update(no_key=True, of=("self",)).order_by("pk")[:BATCH])
        for row in rows:
            row.avoided_node_id, row.avoid_until = None, None
            row.scheduling_key = key_of(row, cluster)
            row.save(update_fields=["avoided_node_id", "avoid_until", "scheduling_key"])
        if rows:
            ids = [row.pk for row in rows]
            deployment_stopped.send(
                Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="CHANGED"
            )
