"""Verdicts become rows: the only code that moves `status` by what a runtime has shown.

Written under the cluster's lock, for rows that are still in the state and the attempt in which they
were judged; whoever has stopped or evicted one meanwhile has won, and the next round judges anew.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from clusters.models import Cluster
from clusters.services.clusters import lock_cluster
from deployments import reasons, wakeup
from deployments.lifecycle.timeline import record
from deployments.lifecycle.transitions import begin_stopping, end, requeue
from deployments.models import Deployment, EventType, Kind, Status
from deployments.reconciler.assessment import TERMINATED, Assessment, Outcome
from deployments.runtimes.base import Code
from deployments.signals import deployment_stopped

Judged = tuple[Deployment, Assessment]

BATCH = 500  # rows under one lock
FIRST_RETRY_S, LAST_RETRY_S = 10, 300
STEADY = timedelta(minutes=10)  # who ran for so long is tried again as soon as at first
ELSEWHERE_S = 30  # before one that its node did not take is looked at again


def write(cluster_id: UUID, judged: Iterable[Judged], now: datetime) -> set[UUID]:
    """Make the verdicts so; the ids of those that were as they had been judged."""
    telling = [(row, verdict) for row, verdict in judged if verdict.turn in _ONE]
    written: set[UUID] = set()
    for start in range(0, len(telling), BATCH):
        written |= _write(cluster_id, telling[start : start + BATCH], now)
    return written


def _write(cluster_id: UUID, judged: Sequence[Judged], now: datetime) -> set[UUID]:
    with transaction.atomic():
        try:
            lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return set()
        locked = Deployment.objects.select_for_update(no_key=True, of=("self",)).in_bulk(
            [row.pk for row, _ in judged]
        )
        written, freed, to_stop = set(), [], False
        for judged_row, verdict in judged:
            row = locked.get(judged_row.pk)
            if row is None or _version(row) != _version(judged_row):
                continue
            settled = _ONE[verdict.turn](cluster_id, row, verdict, now)
            written.add(row.pk)
            if settled:
                freed.append(row.pk)
            elif verdict.alive:
                to_stop = True
        if freed:
            deployment_stopped.send(
                Deployment, cluster_id=cluster_id, deployment_ids=freed, trigger="FINISHED"
            )
        if to_stop:
            transaction.on_commit(partial(wakeup.request, cluster_id))
        return written


def _version(row: Deployment) -> tuple[Any, ...]:
    return row.status, row.attempt, row.next_status


def _confirm(_: UUID, row: Deployment, verdict: Assessment, now: datetime) -> bool:
    started_at = _started_at(row, verdict, now)
    row.status, row.started_at = Status.RUNNING, started_at
    row.reason_code, row.reason_details = "", {}
    if row.max_runtime_s is not None:
        row.due_at = started_at + timedelta(seconds=row.max_runtime_s)
    row.save(update_fields=["status", "started_at", "due_at", "reason_code", "reason_details"])
    record(row.pk, EventType.RUNNING, at=now, details={"attempt": row.attempt})
    return False


def _note(_: UUID, row: Deployment, verdict: Assessment, now: datetime) -> bool:
    if (row.reason_code, row.reason_details) != (verdict.code, verdict.details):
        row.reason_code, row.reason_details = verdict.code, verdict.details
        row.save(update_fields=["reason_code", "reason_details"])
        record(row.pk, EventType.NOTICE, at=now, details={"code": verdict.code, **verdict.details})
    return False


def _complete(cluster_id: UUID, row: Deployment, verdict: Assessment, now: datetime) -> bool:
    columns: dict[str, Any] = {"exit_code": 0, "reason_code": "", "reason_details": {}}
    if row.started_at is None:  # it was over before anybody had seen it run
        columns["started_at"] = _started_at(row, verdict, now)
    end(cluster_id, [row], now, status=Status.COMPLETED, **columns)
    record(row.pk, EventType.COMPLETED, at=now, details={"exit_code": 0})
    return True


def _fail(cluster_id: UUID, row: Deployment, verdict: Assessment, now: datetime) -> bool:
    """Another try where there is one left, which a service always has; else it has failed."""
    columns: dict[str, Any] = {
        "reason_code": verdict.code,
        "reason_details": verdict.details,
        "exit_code": verdict.exit_code,
    }
    if row.kind != Kind.SERVICE and row.retry_count >= row.max_retries:
        if row.started_at is None and verdict.started_at is not None:
            columns["started_at"] = _started_at(row, verdict, now)
        return _leave(cluster_id, row, verdict, now, status=Status.FAILED, columns=columns)
    columns["retry_count"] = row.retry_count + 1
    columns["retry_at"] = now + timedelta(seconds=_pause_s(row, now))
    return _leave(cluster_id, row, verdict, now, status=Status.QUEUED, columns=columns)


def _requeue(cluster_id: UUID, row: Deployment, verdict: Assessment, now: datetime) -> bool:
    """Neither a failure nor a retry: it did nothing wrong."""
    columns: dict[str, Any] = {
        "reason_code": verdict.code,
        "reason_details": verdict.details,
        "exit_code": verdict.exit_code,
    }
    if verdict.code in (Code.UNSCHEDULABLE, reasons.CONTAINER_LOST):
        columns["retry_at"] = now + timedelta(seconds=ELSEWHERE_S)
    elif verdict.exit_code == TERMINATED:  # it may have told itself to end, and will again
        columns["retry_at"] = now + timedelta(seconds=FIRST_RETRY_S)
    return _leave(cluster_id, row, verdict, now, status=Status.QUEUED, columns=columns)


def _leave(
    cluster_id: UUID,
    row: Deployment,
    verdict: Assessment,
    now: datetime,
    *,
    status: Status,
    columns: dict[str, Any],
) -> bool:
    """At once, or once those of its replicas that go on have been stopped."""
    told = {"code": verdict.code, "attempt": row.attempt, **verdict.details}
    if retry_at := columns.get("retry_at"):
        told["retry_at"] = retry_at.isoformat()
    if verdict.alive:
        begin_stopping([row], now, next_status=status, **columns)
        record(row.pk, EventType.STOPPING, at=now, details=told)
        return False
    if status == Status.QUEUED:
        requeue(cluster_id, [row], now, **columns)
        record(row.pk, EventType.REQUEUED, at=now, details=told)
    else:
        end(cluster_id, [row], now, status=status, **columns)
        record(row.pk, EventType.FAILED, at=now, details=told)
    return True


def _gone(cluster_id: UUID, row: Deployment, verdict: Assessment, now: datetime) -> bool:
    """What was STOPPING becomes what it was to become."""
    # Of a gang, the code of the replica that failed first has been noted already.
    exit_code = row.exit_code if row.exit_code is not None else verdict.exit_code
    details: dict[str, Any] = {"attempt": row.attempt}
    if exit_code is not None:
        details["exit_code"] = exit_code
    if row.next_status == Status.QUEUED:
        requeue(cluster_id, [row], now)
        record(row.pk, EventType.REQUEUED, at=now, details=details)
    else:
        status = Status(row.next_status)
        end(cluster_id, [row], now, status=status, exit_code=exit_code)
        if row.reason_code:
            details = {"code": row.reason_code, **row.reason_details, **details}
        record(row.pk, EventType(status), at=now, details=details)
    return True


_ONE = {
    Outcome.CONFIRM: _confirm,
    Outcome.NOTE: _note,
    Outcome.COMPLETE: _complete,
    Outcome.FAIL: _fail,
    Outcome.REQUEUE: _requeue,
    Outcome.GONE: _gone,
}


def _started_at(row: Deployment, verdict: Assessment, now: datetime) -> datetime:
    """As the machine tells it, within what its clock can have right."""
    return min(max(verdict.started_at or now, row.admitted_at or now), now)


def _pause_s(row: Deployment, now: datetime) -> int:
    """10, 20, 40, … 300 seconds, as Kubernetes does for containers that crash."""
    if row.started_at is not None and now - row.started_at >= STEADY:
        return FIRST_RETRY_S
    return min(FIRST_RETRY_S * 2 ** min(row.retry_count, 10), LAST_RETRY_S)
