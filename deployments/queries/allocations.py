"""Reads which deployments have capacity of a cluster allocated, and how much."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum

from clusters.models import Cluster, Runtime, State
from deployments.models import ALLOCATED, ENDED, Deployment
from mlops_platform.api.resources import Amounts

AllocatedByOwner = dict[UUID, Amounts]


def allocated_in(cluster_ids: Collection[UUID], **filters: Any) -> dict[UUID, AllocatedByOwner]:
    """What is allocated to each owner, by cluster, the owners in the order of their ids. One query,
    none for no cluster."""
    rows = (
        Deployment.objects.filter(ALLOCATED, cluster__in=cluster_ids, **filters)
        .order_by("owner_id")
        .values_list("cluster_id", "owner_id")
        .annotate(
            cpu=Sum(F("cpu_milli") * F("replicas")),
            ram=Sum(F("ram_mib") * F("replicas")),
            gpus=Sum(F("gpu") * F("replicas")),
        )
    )
    found: dict[UUID, AllocatedByOwner] = defaultdict(dict)
    for cluster, owner, cpu, ram, gpus in rows:
        found[cluster][owner] = Amounts(int(cpu), int(ram), int(gpus))
    return found


def in_use(cluster: Cluster) -> QuerySet[Deployment]:
    """The cluster's deployments that wait or have an allocation."""
    return Deployment.objects.filter(cluster=cluster).exclude(status__in=ENDED)


def clusters_with_endpoints() -> list[UUID]:
    """The clusters in which containers run, or could. One query."""
    return list(
        Cluster.objects.exclude(runtime=Runtime.SIMULATED)
        .filter(Q(endpoints__isnull=False) | Q(state=State.DELETING))
        .distinct()
        .values_list("pk", flat=True)
    )
