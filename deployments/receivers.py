"""What deployments do at the news of clusters and users: each receiver calls one function."""

from functools import partial
from typing import Any
from uuid import UUID

from django.apps.registry import Apps
from django.apps.registry import apps as present_apps
from django.db import transaction
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from accounts.models import User
from clusters.models import Cluster
from clusters.signals import cluster_closing, cluster_deleted, keys_change, node_renamed
from deployments import scheduling_key, wakeup
from deployments.lifecycle import timeline
from deployments.services import priority_classes, stop
from deployments.services.rename_node import rename_node
from deployments.usage import intervals


@receiver(cluster_closing)
def on_cluster_closing(cluster: Cluster, **_: Any) -> None:
    """Passes of the reconciler stop what is left."""
    if stop.stop_some(cluster, most=stop.AT_ONCE):
        transaction.on_commit(partial(wakeup.request, cluster.pk, [wakeup.EVERYTHING]))


@receiver(cluster_deleted)
def on_cluster_deleted(cluster: Cluster, **_: Any) -> None:
    intervals.end_in_cluster(cluster.organization_id, cluster.pk)


@receiver(keys_change)
def on_keys_change(cluster: Cluster, **_: Any) -> None:
    scheduling_key.follow_policy(cluster)


@receiver(node_renamed)
def on_node_renamed(cluster_id: UUID, node_id: UUID, name: str, **_: Any) -> None:
    rename_node(cluster_id, node_id, name)


@receiver(pre_delete, sender=User)
def on_user_deleted(instance: User, **_: Any) -> None:
    timeline.keep_name(instance)


def on_migrated(using: str, apps: Apps = present_apps, **_: Any) -> None:
    priority_classes.create_standard_classes(using, apps)
    timeline.adopt_restored(using, apps)
