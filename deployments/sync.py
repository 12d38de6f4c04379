"""Facts from the runtimes, written down. Third writer of `status` beside services and plans."""

import logging
from datetime import datetime
from uuid import UUID

from django.db import transaction

from clusters.models import Cluster
from clusters.services import lock_cluster
from deployments.ending import end
from deployments.events import record_all
from deployments.models import Deployment, EventType, Status
from deployments.reasons import MAX_RUNTIME_EXCEEDED
from deployments.runtimes.simulated import Fate, due
from deployments.signals import deployment_stopped

logger = logging.getLogger(__name__)

BATCH = 1000  # rows under one lock


def finish_due(now: datetime) -> int:
    """End what runs past its time; how many that were.

    One cluster's trouble does not keep the others from going on. One query where nothing is due.
    """
    overdue = Deployment.objects.filter(status=Status.RUNNING, due_at__lte=now)
    finished = 0
    for cluster_id in overdue.order_by().values_list("cluster_id", flat=True).distinct():
        try:
            while batch := _finish_batch(cluster_id, now):
                finished += batch
        except Exception:
            logger.exception("finishing failed", extra={"cluster_id": str(cluster_id)})
    return finished


def _finish_batch(cluster_id: UUID, now: datetime) -> int:
    with transaction.atomic():
        try:
            lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return 0
        rows = list(
            Deployment.objects.select_for_update(no_key=True)
            .filter(cluster_id=cluster_id, status=Status.RUNNING, due_at__lte=now)
            .order_by("due_at", "pk")[:BATCH]
        )
        if not rows:
            return 0
        completed = [row for row in rows if _fate(row) == Fate.COMPLETED]
        if completed:
            _complete(cluster_id, completed, now)
        overstayed: dict[int | None, list[Deployment]] = {}
        for row in rows:
            if _fate(row) == Fate.MAX_RUNTIME_EXCEEDED:
                overstayed.setdefault(row.max_runtime_s, []).append(row)
        for limit_s, late in overstayed.items():
            _fail(cluster_id, late, limit_s, now)
        deployment_stopped.send(
            Deployment,
            cluster_id=cluster_id,
            deployment_ids=[row.pk for row in rows],
            trigger="FINISHED",
        )
        return len(rows)


def _fate(row: Deployment) -> Fate:
    if row.started_at is not None:
        ending = due(row.started_at, row.simulated_runtime_s, row.max_runtime_s)
        if ending is not None:
            return ending.fate
    return Fate.COMPLETED


def _complete(cluster_id: UUID, rows: list[Deployment], now: datetime) -> None:
    end(cluster_id, rows, now, status=Status.COMPLETED, exit_code=0)
    record_all([(row.pk, {"exit_code": 0}) for row in rows], EventType.COMPLETED, at=now)


def _fail(cluster_id: UUID, rows: list[Deployment], limit_s: int | None, now: datetime) -> None:
    details = {"max_runtime_s": limit_s}
    reason = {"reason_code": MAX_RUNTIME_EXCEEDED, "reason_details": details}
    end(cluster_id, rows, now, status=Status.FAILED, **reason)
    lines = [(row.pk, {"code": MAX_RUNTIME_EXCEEDED, **details}) for row in rows]
    record_all(lines, EventType.FAILED, at=now)
