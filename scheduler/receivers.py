"""What the scheduler does at the news of clusters and deployments, once they are committed."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from clusters.signals import cluster_changed
from deployments.models import Deployment
from deployments.signals import (
    deployment_stopped,
    deployments_submitted,
)
from scheduler import wakeup
from scheduler.models import Trigger
from scheduler.queues import queue_sync


@receiver(post_save, sender=Deployment)
def on_submitted(instance: Deployment, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        transaction.on_commit(partial(queue_sync.enter, [instance]))
        ask = partial(wakeup.request_cycle, instance.cluster_id, Trigger.SUBMITTED)
        transaction.on_commit(ask)


@receiver(deployments_submitted)
def on_many_submitted(deployments: list[Deployment], **_: Any) -> None:
    """Afterwards in this order: a cycle finds the queues entered."""
    transaction.on_commit(partial(queue_sync.enter, deployments))
    for cluster_id in dict.fromkeys(row.cluster_id for row in deployments):
        transaction.on_commit(partial(wakeup.request_cycle, cluster_id, Trigger.SUBMITTED))


@receiver(deployment_stopped)
def on_stopped(
    cluster_id: UUID,
    deployment_ids: list[UUID],
    trigger: str,
    in_queue: bool = True,
    **_: Any,
) -> None:
    if in_queue and deployment_ids:
        transaction.on_commit(partial(queue_sync.refresh, cluster_id, deployment_ids))
    transaction.on_commit(partial(wakeup.request_cycle, cluster_id, trigger))


@receiver(cluster_changed)
def on_cluster_changed(cluster_id: UUID, **_: Any) -> None:
    transaction.on_commit(partial(wakeup.request_cycle, cluster_id, Trigger.CHANGED))
