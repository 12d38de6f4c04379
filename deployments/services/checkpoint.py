"""A running deployment reports how much of its work is saved."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Greatest

from accounts.models import User
from clusters.models import Cluster
from clusters.queries import drains_at_checkpoint
from clusters.signals import cluster_changed
from deployments.lifecycle.timeline import record
from deployments.models import Deployment, EventType, Status
from deployments.queries.deployments import deployment_by_id
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import free, lock_row


def report_checkpoint(user: User, deployment: Deployment, at: datetime | None = None) -> Deployment:
    """Record that its work up to `at` is saved: an eviction loses only the work after that.

    400 outside its run, 409 unless it runs. An older report never takes back a newer one.
    """
    now = database_now()
    at = at or now
    if at > now:
        raise Invalid({"at": "Must not be in the future."})
    if deployment.started_at is not None and at < deployment.started_at:
        raise Invalid({"at": "Must not be before it started."})
    with transaction.atomic():
        running = Deployment.objects.filter(
            pk=deployment.pk, status=Status.RUNNING, started_at__lte=at
        )
        columns = {"checkpoint_at": Greatest("checkpoint_at", at)}
        if not free(running).update(**columns) and not (
            lock_row(running, deployment.pk) and running.update(**columns)
        ):
            raise Conflict("Only what runs can report a checkpoint.", code="not_running")
        details = {"at": at.isoformat()}
        record(deployment.pk, EventType.CHECKPOINTED, at=now, actor=user, details=details)
        _leave_draining_nodes(deployment.cluster_id, deployment.placement)
    return deployment_by_id(deployment.pk)


def move_checkpoint(deployment_id: UUID, at: datetime, now: datetime) -> bool:
    """As a report that its checkpoint file makes; False where that is no news, or no sound report.

    Four queries at most. A row that another session has locked is left to the next look.
    """
    if at > now:
        return False
    running = Deployment.objects.filter(
        Q(checkpoint_at=None) | Q(checkpoint_at__lt=at),
        pk=deployment_id,
        status=Status.RUNNING,
        started_at__lte=at,
    )
    with transaction.atomic():
        if not free(running).update(checkpoint_at=at):
            return False
        record(deployment_id, EventType.CHECKPOINTED, at=now, details={"at": at.isoformat()})
        of = Deployment.objects.filter(pk=deployment_id).values_list("cluster_id", "placement")
        _leave_draining_nodes(*of.get())
    return True


def _leave_draining_nodes(cluster_id: UUID, placement: Sequence[Mapping[str, Any]]) -> None:
    """Ask for the cycle that evicts it, where one of its nodes is drained at checkpoints. One query
    with nodes."""
    ids = [each["node_id"] for each in placement if each["node_id"] is not None]
    if drains_at_checkpoint(ids):
        cluster_changed.send(Cluster, cluster_id=cluster_id)
