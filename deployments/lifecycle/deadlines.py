"""Ends deployments by the clock. The reconciler writes the ends that a real runtime shows.

A simulated deployment ended when it was due, however much later that is noticed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from clusters.models import Cluster, Runtime
from clusters.services.clusters import lock_cluster
from deployments import wakeup
from deployments.lifecycle.timeline import record_all
from deployments.lifecycle.transitions import begin_stopping, end
from deployments.models import Deployment, EventType, Status
from deployments.reasons.codes import MAX_RUNTIME_EXCEEDED
from deployments.runtimes.simulated import Fate, due
from deployments.signals import deployment_stopped

BATCH = 1000  # rows under one lock
CLUSTERS = 20  # whose rows are locked together: a stop in one of them waits for that long

# Those whose ends are the most overdue come first: else the clusters with the lowest ids would have
# all turns where more is due than can be ended.
_LOCK_FREE = """
SELECT c.id, statement_timestamp()
  FROM clusters_cluster c
  JOIN (SELECT cluster_id, min(due_at) AS first_at FROM deployments_deployment
         WHERE status = 'RUNNING' AND due_at <= statement_timestamp()
         GROUP BY cluster_id) due ON due.cluster_id = c.id
 WHERE c.runtime = 'simulated' AND c.deleted_at IS NULL AND NOT c.id = ANY(%(passed_over)s::uuid[])
 ORDER BY due.first_at, c.id LIMIT %(clusters)s
   FOR NO KEY UPDATE OF c SKIP LOCKED
"""


def finish_due(cluster_id: UUID, now: datetime, *, batch: int = BATCH) -> int:
    """End the cluster's deployments that have run for their time by `now`, the database's; returns
    how many."""
    finished = 0
    while count := _finish_batch(cluster_id, now, batch):
        finished += count
        if count < batch:
            break
    return finished


def finish_simulated(
    *, clusters: int = CLUSTERS, batch: int = BATCH, passed_over: set[UUID] | None = None
) -> int:
    """End simulated deployments of several clusters that have run for their time by the database's
    clock; returns how many.

    It waits for no lock: a cluster that another session has locked comes another time. One of which
    all that is due is locked is added to `passed_over`, and none of these is looked at: it would
    have the turn of another. One query where nothing is due, and 8 for any number of clusters.
    """
    passed_over = set() if passed_over is None else passed_over
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                _LOCK_FREE,
                {"clusters": clusters, "passed_over": [str(each) for each in passed_over]},
            )
            locked: dict[UUID, datetime] = dict(cursor.fetchall())
        if not locked:
            return 0
        rows = list(
            Deployment.objects.select_for_update(no_key=True, skip_locked=True)
            .filter(status=Status.RUNNING, due_at__lte=Now(), cluster_id__in=locked)
            .order_by("due_at", "pk")[:batch]
        )
        if len(rows) < batch:
            passed_over |= locked.keys() - {row.cluster_id for row in rows}
        _finish(rows, max(locked.values()))
        return len(rows)


def _finish_batch(cluster_id: UUID, now: datetime, batch: int) -> int:
    with transaction.atomic():
        try:
            cluster = lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return 0
        rows = list(
            Deployment.objects.select_for_update(no_key=True)
            .filter(cluster_id=cluster_id, status=Status.RUNNING, due_at__lte=now)
            .order_by("due_at", "pk")[:batch]
        )
        if not rows:
            return 0
        if cluster.runtime == Runtime.SIMULATED:
            _finish(rows, now)
        else:
            _begin_stopping(cluster_id, rows, now)
        return len(rows)


def _finish(rows: Sequence[Deployment], now: datetime) -> None:
    """End simulated deployments. The caller has locked them, and their clusters before."""
    completed = [row for row in rows if _fate(row) == Fate.COMPLETED]
    if completed:
        _complete(completed, now)
    exceeded = [row for row in rows if _fate(row) == Fate.MAX_RUNTIME_EXCEEDED]
    for limit_s, late in _by_limit(exceeded).items():
        _fail(late, limit_s, now)
    ids: dict[UUID, list[UUID]] = {}
    for row in rows:
        ids.setdefault(row.cluster_id, []).append(row.pk)
    for cluster_id, of_cluster in ids.items():
        deployment_stopped.send(
            Deployment,
            cluster_id=cluster_id,
            deployment_ids=of_cluster,
            trigger="FINISHED",
            in_queue=False,
        )


def _fate(row: Deployment) -> Fate:
    if row.started_at is not None:
        ending = due(row.started_at, row.simulated_for_s, row.max_runtime_s)
        if ending is not None:
            return ending.fate
    return Fate.COMPLETED


def _complete(rows: list[Deployment], now: datetime) -> None:
    end(rows, now, status=Status.COMPLETED, when_due=True, exit_code=0)
    lines = [(row.pk, {"exit_code": 0}) for row in rows]
    record_all(lines, EventType.COMPLETED, at=_due_times(rows, now))


def _fail(rows: list[Deployment], limit_s: int | None, now: datetime) -> None:
    end(rows, now, status=Status.FAILED, when_due=True, **_reason(limit_s))
    _record(rows, EventType.FAILED, limit_s, _due_times(rows, now))


def _begin_stopping(cluster_id: UUID, rows: Sequence[Deployment], now: datetime) -> None:
    for limit_s, late in _by_limit(rows).items():
        begin_stopping(late, now, next_status=Status.FAILED, **_reason(limit_s))
        _record(late, EventType.STOPPING, limit_s, dict.fromkeys((row.pk for row in late), now))
    transaction.on_commit(partial(wakeup.request, cluster_id))


def _due_times(rows: Sequence[Deployment], now: datetime) -> dict[UUID, datetime]:
    return {row.pk: row.due_at or now for row in rows}


def _by_limit(rows: Sequence[Deployment]) -> dict[int | None, list[Deployment]]:
    found: dict[int | None, list[Deployment]] = {}
    for row in rows:
        found.setdefault(row.max_runtime_s, []).append(row)
    return found


def _reason(limit_s: int | None) -> dict[str, Any]:
    return {
        "reason_code": MAX_RUNTIME_EXCEEDED,
        "reason_details": {"max_runtime_s": limit_s},
    }


def _record(
    rows: Sequence[Deployment],
    event_type: EventType,
    limit_s: int | None,
    at: Mapping[UUID, datetime],
) -> None:
    lines = [(row.pk, {"code": MAX_RUNTIME_EXCEEDED, "max_runtime_s": limit_s}) for row in rows]
    record_all(lines, event_type, at=at)
