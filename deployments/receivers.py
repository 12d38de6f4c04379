"""Bells that others ring for deployments."""

from typing import Any
from uuid import UUID

from django.apps.registry import Apps
from django.apps.registry import apps as present_apps
from django.dispatch import receiver

from clusters.models import Cluster
from clusters.signals import (
    cluster_closing,
    cluster_deleting,
    guests_sought,
    node_renamed,
    owners_matter,
)
from deployments import placements, runtime_connections, scheduling_key
from deployments.services import stop, submit
from deployments.services.priority_classes import STANDARD_CLASSES


@receiver(cluster_deleting)
def leave_cluster(cluster: Cluster, force: bool, **_: Any) -> None:
    submit.clear_cluster(cluster, force=force)
    runtime_connections.leave(cluster)


@receiver(cluster_closing)
def stop_everything(cluster: Cluster, **_: Any) -> None:
    stop.stop_all(cluster)


@receiver(owners_matter)
def name_owners(cluster: Cluster, **_: Any) -> None:
    scheduling_key.name_owners(cluster)


@receiver(node_renamed)
def follow_name(cluster_id: UUID, node_id: UUID, name: str, **_: Any) -> None:
    placements.rename_node(cluster_id, node_id, name)


@receiver(guests_sought)
def tell_guests(cluster_id: UUID, **_: Any) -> set[str]:
    return placements.lingered_on(cluster_id)


def provide_standard_classes(using: str, apps: Apps = present_apps, **_: Any) -> None:
    """LOW and HIGH always exist: after every migrate, and after a test has emptied the tables."""
    try:
        priority_class = apps.get_model("deployments", "PriorityClass")
    except LookupError:  # migrated back to before there were any
        return
    for name, (value, may_preempt) in STANDARD_CLASSES.items():
        priority_class.objects.using(using).get_or_create(
            name=name, defaults={"value": value, "may_preempt": may_preempt, "preemptible": True}
        )
