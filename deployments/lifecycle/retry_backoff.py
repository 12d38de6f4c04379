"""Ends the pauses of deployments that wait for another attempt, so that a cycle sees them again."""

from contextlib import suppress
from datetime import datetime
from itertools import groupby

from django.db import transaction

from clusters.models import Cluster
from clusters.services.clusters import lock_cluster
from deployments.models import Deployment, Status
from deployments.signals import deployment_stopped

BATCH = 1000


def end_pauses(now: datetime) -> int:
    """End the pauses that are over; returns how many. One query where none is over."""
    over = Deployment.objects.filter(
        retry_at__lte=now, status=Status.QUEUED, cluster__deleted_at=None
    )
    found = list(over.order_by("cluster_id").values_list("cluster_id", "pk")[:BATCH])
    for cluster_id, pairs in groupby(found, key=lambda pair: pair[0]):
        ids = [pk for _, pk in pairs]
        with transaction.atomic(), suppress(Cluster.DoesNotExist):
            lock_cluster(cluster_id)
            if Deployment.objects.filter(pk__in=ids, retry_at__lte=now).update(retry_at=None):
                deployment_stopped.send(
                    Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="CHANGED"
                )
    return len(found)
