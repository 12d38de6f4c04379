"""Stops deployments: at once in a simulated cluster, elsewhere once the runtime has confirmed the
end (STOPPING until then).

Lock order: the cluster's row first, then deployments' rows. The one short cut, a single queued
deployment without dependents, locks only its own row: it waits for no cycle, and no deadlock can
arise.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from clusters.models import Cluster, Runtime
from clusters.services.clusters import lock_cluster
from deployments import wakeup
from deployments.house import rules
from deployments.lifecycle import dependents
from deployments.lifecycle.timeline import record, record_all
from deployments.lifecycle.transitions import begin_stopping, closing, end
from deployments.models import ENDED, Deployment, EventType, Status
from deployments.queries.deployments import deployment_by_id
from deployments.signals import deployment_stopped
from deployments.usage import intervals
from deployments.usage.models import Outcome
from mlops_platform.database.row_waits import free

BATCH = 1000  # rows under one lock
AT_ONCE = 200  # rows that a request stops before it answers that the cluster is being deleted
_STOPPED: Any = {"status": Status.STOPPED, "reason_code": "", "reason_details": {}}


def stop(deployment_ids: Collection[UUID], actor: User | None, *, batch: int = BATCH) -> int:
    """Stop those that have not ended, and return their number. The caller has checked access."""
    open_ids = (
        Deployment.objects.filter(pk__in=deployment_ids)
        .exclude(status__in=ENDED)
        .order_by("cluster_id", "-pk")  # newest first: dependents before what they depend on
        .values_list("cluster_id", "pk")
    )
    stopped = 0
    for cluster_id, pairs in groupby(open_ids, key=lambda pair: pair[0]):
        ids = [deployment_id for _, deployment_id in pairs]
        for start in range(0, len(ids), batch):
            stopped += _stop_locked(cluster_id, ids[start : start + batch], actor)
    return stopped


def stop_some(cluster: Cluster, *, most: int = BATCH) -> bool:
    """Stop the newest deployments of a cluster that is to be deleted, `most` of them; True where
    others are left."""
    going = Q(status__in=ENDED) | Q(status=Status.STOPPING, next_status=Status.STOPPED)
    rows = Deployment.objects.filter(cluster=cluster).exclude(going)
    ids = list(rows.order_by("-pk").values_list("pk", flat=True)[: most + 1])
    if ids:
        _stop_locked(cluster.pk, ids[:most], None)
    return len(ids) > most


def stop_deployment(user: User, deployment: Deployment) -> Deployment:
    """Stop it, unless it has ended, also since it was read, and read it anew. 403 where the house
    rules let the user stop none of others."""
    if deployment.status in ENDED:
        return deployment
    if deployment.owner_id != user.pk:
        rules.refuse_stop(user, [deployment])
    stop_one(deployment, user)
    return deployment_by_id(deployment.pk)


def stop_one(deployment: Deployment, actor: User | None) -> bool:
    """Stop it, queued or running; False where it has ended already."""
    if deployment.status in ENDED:
        return False
    if deployment.status == Status.QUEUED and _stop_queued(deployment, actor):
        return True
    return bool(_stop_locked(deployment.cluster_id, [deployment.pk], actor))


def _stop_queued(deployment: Deployment, actor: User | None) -> bool:
    """Without the cluster's lock: a queued deployment has no allocation, and a plan that starts it
    at the same time fails at its guarded write.

    False, and nothing changed, where another session has locked it, as a cycle that starts it has,
    where it is not queued, or has dependents: those fail with it, which needs the lock. The
    dependents are read after the write, since a submit that depends on this one locks its row: that
    submit has either committed and is found, or finds this one stopped.
    """
    with transaction.atomic():
        queued = Deployment.objects.filter(pk=deployment.pk, status=Status.QUEUED)
        if not free(queued).update(**closing(Now()), **_STOPPED):
            return False
        if dependents.has_queued_dependents(deployment.pk):
            transaction.set_rollback(True)
            return False
        intervals.end_waiting([deployment.pk], Outcome.STOPPED)
        record(
            deployment.pk, EventType.STOPPED, at=None, actor=actor, details={"from": Status.QUEUED}
        )
        deployment_stopped.send(
            Deployment,
            cluster_id=deployment.cluster_id,
            deployment_ids=[deployment.pk],
            trigger="STOPPED",
        )
        return True


def _stop_locked(cluster_id: UUID, ids: list[UUID], actor: User | None) -> int:
    with transaction.atomic():
        try:
            cluster = lock_cluster(cluster_id)
        except Cluster.DoesNotExist:  # deleted meanwhile, and they with it
            return 0
        rows = list(
            Deployment.objects.select_for_update(no_key=True)
            .filter(pk__in=ids)
            .exclude(status__in=ENDED)
            .annotate(read_at=Now())
            .order_by("pk")
        )
        if not rows:
            return 0
        now = rows[0].read_at
        if cluster.runtime == Runtime.SIMULATED:
            _end(cluster_id, rows, now, actor)
            return len(rows)
        waiting = [row for row in rows if row.status == Status.QUEUED]
        running = [row for row in rows if row.status in (Status.STARTING, Status.RUNNING)]
        leaving = [row for row in rows if row.next_status == Status.QUEUED]
        _end(cluster_id, waiting, now, actor)
        _begin_stopping(cluster_id, running, leaving, now, actor)
        return len(waiting) + len(running) + len(leaving)


def _end(cluster_id: UUID, rows: Sequence[Deployment], now: datetime, actor: User | None) -> None:
    if not rows:
        return
    end(rows, now, **_STOPPED)
    record_all(
        [(row.pk, {"from": row.status}) for row in rows], EventType.STOPPED, at=now, actor=actor
    )
    ids = [row.pk for row in rows]
    deployment_stopped.send(
        Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="STOPPED"
    )


def _begin_stopping(
    cluster_id: UUID,
    running: Sequence[Deployment],
    leaving: Sequence[Deployment],
    now: datetime,
    actor: User | None,
) -> None:
    """The rows of `leaving` were on their way back into the queue, and end instead."""
    if running:
        columns = {"reason_code": "", "reason_details": {}}
        begin_stopping(running, now, next_status=Status.STOPPED, **columns)
    if leaving:
        Deployment.objects.filter(pk__in=[row.pk for row in leaving]).update(
            next_status=Status.STOPPED, retry_at=None, reason_code="", reason_details={}
        )
    if running or leaving:
        lines = [(row.pk, {"from": row.status}) for row in (*running, *leaving)]
        record_all(lines, EventType.STOPPING, at=now, actor=actor)
        transaction.on_commit(partial(wakeup.request, cluster_id))
