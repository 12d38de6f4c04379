"""Ending deployments because somebody wants it.

Lock order: the cluster's row first, then deployments' rows. The one short cut, a single queued
deployment that nobody depends on, takes its own row alone, so it waits for no cycle and cannot
close a circle.
"""

from collections.abc import Collection
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster
from clusters.services import lock_cluster
from deployments import dependencies
from deployments.ending import closing, end
from deployments.events import record, record_all
from deployments.models import ENDED, Deployment, EventType, Status
from deployments.signals import deployment_stopped

BATCH = 1000  # rows under one lock
_STOPPED: Any = {"status": Status.STOPPED, "reason_code": "", "reason_details": {}}


def stop(deployment_ids: Collection[UUID], actor: User | None) -> int:
    """Stop those that have not ended; how many that were. Access is the caller's matter."""
    open_ids = (
        Deployment.objects.filter(pk__in=deployment_ids)
        .exclude(status__in=ENDED)
        .order_by("cluster_id", "-pk")  # newest first: who depends on another is stopped before it
        .values_list("cluster_id", "pk")
    )
    stopped = 0
    for cluster_id, pairs in groupby(open_ids, key=lambda pair: pair[0]):
        ids = [deployment_id for _, deployment_id in pairs]
        for start in range(0, len(ids), BATCH):
            stopped += _stop_locked(cluster_id, ids[start : start + BATCH], actor)
    return stopped


def stop_one(deployment: Deployment, actor: User | None) -> bool:
    """Stop it, queued or running; False where it had ended already."""
    if deployment.status in ENDED:
        return False
    if deployment.status == Status.QUEUED and _stop_queued(deployment, actor):
        return True
    return bool(_stop_locked(deployment.cluster_id, [deployment.pk], actor))


def _stop_queued(deployment: Deployment, actor: User | None) -> bool:
    """Without the cluster's lock: a queued one holds nothing, and a plan that starts it meanwhile
    finds its own guarded write short.

    False, and nothing changed, where it is not queued or somebody depends on it: they fail with it,
    which takes the lock. Asked after the write, for a submit that names it locks its row: either
    that has been committed and is found, or it comes after and finds this one stopped.
    """
    with transaction.atomic():
        now = timezone.now()
        queued = Deployment.objects.filter(pk=deployment.pk, status=Status.QUEUED)
        if not queued.update(**closing(now), **_STOPPED):
            return False
        if dependencies.is_awaited(deployment.pk):
            transaction.set_rollback(True)
            return False
        record(
            deployment.pk, EventType.STOPPED, at=now, actor=actor, details={"from": Status.QUEUED}
        )
        _tell(deployment.cluster_id, [deployment.pk])
        return True


def _stop_locked(cluster_id: UUID, ids: list[UUID], actor: User | None) -> int:
    with transaction.atomic():
        try:
            lock_cluster(cluster_id)
        except Cluster.DoesNotExist:  # deleted meanwhile, and they with it
            return 0
        rows = list(
            Deployment.objects.select_for_update(no_key=True)
            .filter(pk__in=ids)
            .exclude(status__in=ENDED)
            .order_by("pk")
        )
        if not rows:
            return 0
        now = timezone.now()
        end(cluster_id, rows, now, **_STOPPED)
        record_all(
            [(row.pk, {"from": row.status}) for row in rows], EventType.STOPPED, at=now, actor=actor
        )
        _tell(cluster_id, [row.pk for row in rows])
        return len(rows)


def _tell(cluster_id: UUID, ids: list[UUID]) -> None:
    deployment_stopped.send(
        Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="STOPPED"
    )
