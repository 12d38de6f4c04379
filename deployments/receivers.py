"""Bells that others ring for deployments."""

from typing import Any

from django.dispatch import receiver

from clusters.models import Cluster
from clusters.signals import cluster_deleting
from deployments import services


@receiver(cluster_deleting)
def leave_cluster(cluster: Cluster, force: bool, **_: Any) -> None:
    services.clear_cluster(cluster, force=force)
