"""Deployments to test with, in any status, with the counters that belong to it."""

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster
from deployments import env
from deployments.models import ENDED, PLACED, Deployment, DeploymentEvent, PriorityClass, Status
from deployments.scheduling_key import key_of
from deployments.usage import intervals
from mlops_platform.api.ids import time_of


def body(cluster: Cluster, **fields: Any) -> dict[str, Any]:
    """The smallest submit, and `fields`; one that is None is left out."""
    given = {
        "cluster_id": str(cluster.pk),
        "image": "registry.example.com/team/train:1.2",
        "required_cpu": 1,
        "required_ram": 512,
        "required_gpu": 1,
        "priority": "LOW",
    }
    return {name: value for name, value in {**given, **fields}.items() if value is not None}


def make(
    cluster: Cluster,
    owner: User,
    status: str = Status.QUEUED,
    *,
    priority: str = "LOW",
    **columns: Any,
) -> Deployment:
    """A row as it would be in that status; by default it asks for 1 core, 512 MiB and 1 GPU."""
    deployment_id = columns.pop("id", None) or uuid7()
    submitted = time_of(deployment_id)
    started = timezone.now() - timedelta(hours=1) if status in PLACED else None
    given: dict[str, Any] = {
        "name": "train",
        "image": "train:1.2",
        "cpu_milli": 1000,
        "ram_mib": 512,
        "gpu": 1,
        "created_at": submitted,
        "queued_at": submitted,
        "started_at": started,
        "finished_at": timezone.now() if status in ENDED else None,
        "next_status": Status.STOPPED if status == Status.STOPPING else "",
        **columns,
        "env": env.sealed(columns.get("env", {})),
    }
    row = Deployment(id=deployment_id, cluster=cluster, owner=owner, status=status, **given)
    row.priority_class = PriorityClass.objects.get(name=priority)
    row.scheduling_key = key_of(row)
    if status in PLACED:
        row.placement = [{"node_id": None, "node": None, "replicas": row.replicas}]
        Cluster.objects.filter(pk=cluster.pk).update(
            allocated_cpu_milli=F("allocated_cpu_milli") + row.cpu_milli * row.replicas,
            allocated_ram_mib=F("allocated_ram_mib") + row.ram_mib * row.replicas,
            allocated_gpu=F("allocated_gpu") + row.gpu * row.replicas,
        )
    row.save(force_insert=True)
    if status in PLACED and not row.yielded:
        intervals.begin([row.pk], row.started_at or timezone.now())
    return row


def allocated(cluster: Cluster) -> tuple[int, int, int]:
    """The cluster's counters: millicores, MiB and GPUs."""
    cluster.refresh_from_db()
    return cluster.allocated_cpu_milli, cluster.allocated_ram_mib, cluster.allocated_gpu


def timeline(deployment: Deployment) -> list[tuple[str, str | None]]:
    """The type and the actor of each timeline entry."""
    lines = DeploymentEvent.objects.filter(deployment=deployment).order_by("id")
    return [(line.type, line.actor.username if line.actor else None) for line in lines]
