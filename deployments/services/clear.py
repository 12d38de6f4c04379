"""Delete all that was ever deployed in a cluster, before the cluster itself goes."""

from contextlib import suppress
from functools import partial
from uuid import UUID

from django.db import transaction
from redis.exceptions import RedisError

from clusters.models import Cluster
from deployments import redis_queues, runtime_connections
from deployments.models import Deployment, DeploymentEvent
from deployments.queries import in_use, priority_classes
from mlops_platform.api.errors import Conflict


def clear_cluster(cluster: Cluster, *, force: bool) -> None:
    """Delete the deployments, events and queues of a cluster whose row the caller has locked, and
    clear its endpoints. 409 while a deployment waits or runs there, unless forced.
    """
    using = in_use(cluster).count()
    if using and not force:
        raise Conflict(
            f"{using} deployments wait or run here: stop them first, or delete with ?force=true.",
            code="cluster_in_use",
        )
    DeploymentEvent.objects.filter(deployment__cluster=cluster).delete()
    cluster.wait_reasons.all().delete()
    Deployment.objects.filter(cluster=cluster).only("pk").delete()  # there may be very many
    transaction.on_commit(partial(_forget_queues, cluster.pk, list(priority_classes())))
    runtime_connections.leave(cluster)


def _forget_queues(cluster_id: UUID, class_names: list[str]) -> None:
    with suppress(RedisError):  # then they stay behind, and are never read again
        redis_queues.forget(cluster_id, class_names)
