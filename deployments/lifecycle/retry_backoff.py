"""Ends the pauses of deployments that wait for another attempt, so that a cycle sees them again."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from clusters.models import Cluster
from clusters.services.clusters import lock_cluster
from deployments.models import Deployment, Status
from deployments.signals import deployment_stopped

BATCH = 1000
FIRST_RETRY_S, LAST_RETRY_S = 10, 300  # the shortest pause and the longest


def end_pauses(cluster_id: UUID, now: datetime) -> int:
    """End the cluster's pauses that are over by `now`, the database's; returns how many. One query
    where none is over."""
    over = Deployment.objects.filter(cluster_id=cluster_id, retry_at__lte=now, status=Status.QUEUED)
    ids = list(over.order_by("retry_at", "pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        return 0
    with transaction.atomic():
        try:
            lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return 0
        if Deployment.objects.filter(pk__in=ids, retry_at__lte=now).update(retry_at=None):
            deployment_stopped.send(
                Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="CHANGED"
            )
    return len(ids)
