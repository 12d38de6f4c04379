"""Deletes deployments with all that hangs on them, some rows at a time."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from django.db import transaction
from django.db.models import Exists
from redis.exceptions import RedisError

from clusters.models import Cluster
from deployments import redis_queues, runtime_connections
from deployments.models import Deployment, DeploymentEvent, DeploymentLog
from deployments.queries.allocations import in_use
from deployments.queries.priority_classes import priority_classes

MOST_LOGS = 20  # each may have 256 KiB


def count_in_use(cluster: Cluster) -> int:
    return in_use(cluster).count()


def delete_some_rows(cluster_id: UUID, most: int) -> int:
    """Delete some of a deleted cluster's events, logs or deployments, the newest first; returns how
    many, 0 once none is left. Two to four queries."""
    newest = Deployment.objects.filter(cluster=cluster_id).order_by("-pk")
    return delete_of(list(newest.values_list("pk", flat=True)[:most]), most)


def delete_of(ids: Sequence[UUID], most: int, *, spare: Exists | None = None) -> int:
    """Delete some events or logs of these deployments, or once they have none, the deployments
    themselves, except those whose rows are locked, and those that `spare` is true of; returns how
    many rows, 0 once none is left. What else hangs on the deployments goes with them. One to four
    queries."""
    if not ids:
        return 0
    for model, limit in ((DeploymentEvent, most), (DeploymentLog, min(most, MOST_LOGS))):
        found = list(model.objects.filter(deployment__in=ids).values_list("pk", flat=True)[:limit])
        if found:
            model.objects.filter(pk__in=found).delete()
            return len(found)
    with transaction.atomic():
        rows = Deployment.objects.select_for_update(skip_locked=True).filter(pk__in=ids)
        free = list(rows.values_list("pk", flat=True))
        if spare is not None:  # asked once they are locked: a submit may have linked one meanwhile
            rows = Deployment.objects.filter(pk__in=free).exclude(spare)
            free = list(rows.values_list("pk", flat=True))
        Deployment.objects.filter(pk__in=free).only("pk").delete()
    return len(free)


def leave_cluster(cluster: Cluster) -> None:
    """Forget its queues, and remove what it has at its endpoints besides replicas."""
    with suppress(RedisError):  # then they stay behind, and are never read again
        redis_queues.forget(cluster.pk, list(priority_classes()))
    runtime_connections.leave(cluster)
