"""Writes assessments to rows: the only code that moves `status` by what a runtime shows.

Writes under the cluster's lock, and only rows that still have the state and the attempt in which
they were assessed. A stop or an eviction that came meanwhile wins; the next round assesses anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from clusters.models import Cluster
from clusters.services.clusters import lock_cluster
from deployments import wakeup
from deployments.lifecycle import retry_rules
from deployments.lifecycle.retry_backoff import FIRST_RETRY_S, LAST_RETRY_S
from deployments.lifecycle.timeline import record
from deployments.lifecycle.transitions import begin_stopping, end, requeue
from deployments.models import Deployment, EventType, Status
from deployments.reasons import codes
from deployments.reasons.reader import OF_PRESENT
from deployments.reasons.retries import ENDED_BY, NEXT
from deployments.reconciler import node_verdicts
from deployments.reconciler.assessment import TERMINATED, Assessment, Outcome
from deployments.reconciler.elsewhere import AVOID_FOR, node_to_avoid
from deployments.runtimes.base import Code
from deployments.scheduling_key import key_of
from deployments.signals import deployment_stopped

Assessed = tuple[Deployment, Assessment]

BATCH = 500  # rows under one lock
STABLE_AFTER = timedelta(minutes=10)  # of running; then the next pause is the first one again
ELSEWHERE_S = 30  # pause after a node did not take the deployment


def write(cluster_id: UUID, assessed: Iterable[Assessed], now: datetime) -> set[UUID]:
    """Write the assessments; returns the ids of the rows that were still as assessed."""
    to_write = [(row, each) for row, each in assessed if each.outcome in _WRITERS]
    written: set[UUID] = set()
    for start in range(0, len(to_write), BATCH):
        written |= _write(cluster_id, to_write[start : start + BATCH], now)
    return written


def _write(cluster_id: UUID, assessed: Sequence[Assessed], now: datetime) -> set[UUID]:
    with transaction.atomic():
        try:
            cluster = lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return set()
        rows = Deployment.objects.select_related("priority_class")
        locked = rows.select_for_update(no_key=True, of=("self",)).in_bulk(
            [row.pk for row, _ in assessed]
        )
        written, freed, to_stop = set(), [], False
        noted: list[Assessed] = []
        for assessed_row, assessment in assessed:
            row = locked.get(assessed_row.pk)
            if row is None or _version(row) != _version(assessed_row):
                continue
            row.cluster = cluster  # one for all of them: what is read of it is read once
            freed_capacity = _WRITERS[assessment.outcome](row, assessment, now)
            written.add(row.pk)
            noted.append((assessed_row, assessment))
            if freed_capacity:
                freed.append(row.pk)
            elif assessment.alive:
                to_stop = True
        node_verdicts.note(cluster_id, noted, now)
        if freed:
            deployment_stopped.send(
                Deployment, cluster_id=cluster_id, deployment_ids=freed, trigger="FINISHED"
            )
        if to_stop:
            transaction.on_commit(partial(wakeup.request, cluster_id))
        return written


def _version(row: Deployment) -> tuple[Any, ...]:
    return row.status, row.attempt, row.next_status


def _confirm(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    started_at = _started_at(row, assessment, now)
    row.status, row.started_at = Status.RUNNING, started_at
    row.reason_code, row.reason_details = "", {}
    if row.max_runtime_s is not None:
        row.due_at = started_at + timedelta(seconds=row.max_runtime_s)
    row.image_digest = assessment.image_digest
    columns = ["status", "started_at", "due_at", "reason_code", "reason_details", "image_digest"]
    row.save(update_fields=columns)
    record(row.pk, EventType.RUNNING, at=now, details={"attempt": row.attempt})
    return False


def _note(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    if (row.reason_code, row.reason_details) != (assessment.code, assessment.details):
        row.reason_code, row.reason_details = assessment.code, assessment.details
        row.save(update_fields=["reason_code", "reason_details"])
        record(
            row.pk,
            EventType.NOTICE,
            at=now,
            details={"code": assessment.code or codes.READY, **assessment.details},
        )
    return False


def _pause(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    row.status = Status.STARTING
    row.save(update_fields=["status"])
    return _note(row, assessment, now)


def _complete(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    columns: dict[str, Any] = {"exit_code": 0, "reason_code": "", "reason_details": {}}
    if row.started_at is None:  # it ended before a pass saw it run
        columns["started_at"] = _started_at(row, assessment, now)
        columns |= _digest(assessment)
    at = _finished_at(row, assessment, now)
    end([row], now, status=Status.COMPLETED, finished_at=at, **columns)
    record(row.pk, EventType.COMPLETED, at=at, details={"exit_code": 0})
    return True


def _fail(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    """Back into the queue while a retry is left, which a service always has, unless the assessment
    is final or the deployment's rules end it; else FAILED."""
    columns: dict[str, Any] = {
        "reason_code": assessment.code,
        "reason_details": assessment.details,
        "exit_code": assessment.exit_code,
        **_digest(assessment),
    }
    has_retries = retry_rules.has_retries(row)
    rule = retry_rules.ending_rule(row, assessment.code, assessment.exit_code)
    if rule and has_retries:
        assessment = _with(assessment, columns, ENDED_BY, rule)
    if assessment.final or rule or not has_retries:
        if row.started_at is None and assessment.started_at is not None:
            columns["started_at"] = _started_at(row, assessment, now)
        return _leave(row, assessment, now, status=Status.FAILED, columns=columns)
    if assessment.code == Code.OUT_OF_MEMORY and (ram_mib := retry_rules.next_ram_mib(row)):
        assessment = _with(assessment, columns, NEXT, {"ram_mib": ram_mib})
    columns["retry_count"] = row.retry_count + 1
    ended = _finished_at(row, assessment, now)
    columns["retry_at"] = ended + timedelta(seconds=_retry_pause_s(row, ended))
    return _leave(row, assessment, now, status=Status.QUEUED, columns=columns)


def _requeue(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    """Back into the queue without counting a retry: the deployment did nothing wrong."""
    columns: dict[str, Any] = {
        "reason_code": assessment.code,
        "reason_details": assessment.details,
        "exit_code": assessment.exit_code,
        **_digest(assessment),
    }
    if (node := node_to_avoid(row, assessment)) is not None:
        avoided = {"avoided_node_id": str(node.pk), "node": node.name}
        assessment = _with(assessment, columns, NEXT, avoided)
    ended = _finished_at(row, assessment, now)
    if assessment.code in (Code.UNSCHEDULABLE, codes.CONTAINER_LOST, codes.GANG_INCOMPLETE):
        columns["retry_at"] = ended + timedelta(seconds=ELSEWHERE_S)
    elif assessment.code in (Code.IMAGE_PULL_DELAYED, Code.FETCH_DELAYED):
        columns["retry_at"] = ended + timedelta(seconds=LAST_RETRY_S)
    elif assessment.exit_code == TERMINATED:  # what has stopped it may do so again
        columns["retry_at"] = ended + timedelta(seconds=FIRST_RETRY_S)
    return _leave(row, assessment, now, status=Status.QUEUED, columns=columns)


def _leave(
    row: Deployment,
    assessment: Assessment,
    now: datetime,
    *,
    status: Status,
    columns: dict[str, Any],
) -> bool:
    """End or requeue the row at once, or after its live replicas have been stopped."""
    details = {"code": assessment.code, "attempt": row.attempt, **assessment.details}
    if retry_at := columns.get("retry_at"):
        details["retry_at"] = retry_at.isoformat()
    if assessment.alive:
        begin_stopping([row], now, next_status=status, **columns)
        record(row.pk, EventType.STOPPING, at=now, details=details)
        return False
    if status == Status.QUEUED:
        _requeue_row(row, now, columns, details)
    else:
        at = _finished_at(row, assessment, now)
        end([row], now, status=status, finished_at=at, **columns)
        record(row.pk, EventType.FAILED, at=at, details=details)
    return True


def _requeue_row(
    row: Deployment, now: datetime, columns: dict[str, Any], details: dict[str, Any]
) -> None:
    """Back into the queue, with the request of the next attempt. Only here, where nothing of the
    row is allocated any more, may that change."""
    reason = columns.get("reason_details", row.reason_details)
    following = reason.get(NEXT) or {}
    requeue([row], now, **columns)
    record(row.pk, EventType.REQUEUED, at=now, details=details)
    if node_id := following.get("avoided_node_id"):
        row.avoided_node_id = UUID(node_id)
        row.avoid_until = max(columns.get("retry_at") or row.retry_at or now, now) + AVOID_FOR
    before, after = row.ram_mib, following.get("ram_mib")
    row.ram_mib = after or before
    if following:
        row.scheduling_key = key_of(row)
        names = ["ram_mib", "avoided_node_id", "avoid_until", "scheduling_key"]
        row.save(update_fields=names)
    if after is None:
        return
    details = {"code": Code.OUT_OF_MEMORY, "attempt": row.attempt}
    details["required_ram"] = {"from": before, "to": after}
    record(row.pk, EventType.CHANGED, at=now, details=details)


def _with(assessment: Assessment, columns: dict[str, Any], name: str, value: Any) -> Assessment:
    """With one more detail of the reason, also in the columns."""
    details = columns["reason_details"] = {**assessment.details, name: value}
    return replace(assessment, details=details)


def _gone(row: Deployment, assessment: Assessment, now: datetime) -> bool:
    """A STOPPING row moves on to its `next_status`."""
    # A gang keeps the exit code of the replica that failed first.
    exit_code = row.exit_code if row.exit_code is not None else assessment.exit_code
    details: dict[str, Any] = {"attempt": row.attempt}
    if exit_code is not None:
        details["exit_code"] = exit_code
    if row.next_status == Status.QUEUED:
        _requeue_row(row, now, {}, details)
    else:
        status = Status(row.next_status)
        at = _finished_at(row, assessment, now)
        end([row], now, status=status, finished_at=at, exit_code=exit_code)
        if row.reason_code and row.reason_code not in OF_PRESENT:
            details = {"code": row.reason_code, **row.reason_details, **details}
        record(row.pk, EventType(status), at=at, details=details)
    return True


# Each returns whether it has freed the row's capacity.
_WRITERS = {
    Outcome.CONFIRM: _confirm,
    Outcome.NOTE: _note,
    Outcome.PAUSE: _pause,
    Outcome.COMPLETE: _complete,
    Outcome.FAIL: _fail,
    Outcome.REQUEUE: _requeue,
    Outcome.GONE: _gone,
}


def _started_at(row: Deployment, assessment: Assessment, now: datetime) -> datetime:
    """By the machine's clock, but not before the admission, nor in the future."""
    return min(max(assessment.started_at or now, row.admitted_at or now), now)


def _finished_at(row: Deployment, assessment: Assessment, now: datetime) -> datetime:
    """When it ended: so long after its start as between both by the machine's clock, but neither
    before the start nor in the future. Now, where the machine does not know."""
    if assessment.ended_at is None:
        return now
    began = row.started_at or _started_at(row, assessment, now)
    if assessment.started_at is None:
        ended = assessment.ended_at
    else:
        ended = began + (assessment.ended_at - assessment.started_at)
    return min(max(ended, began), now)


def _digest(assessment: Assessment) -> dict[str, str]:
    """The column, where the attempt shows which image it ran; else that of the one before stays."""
    return {"image_digest": assessment.image_digest} if assessment.image_digest else {}


def _retry_pause_s(row: Deployment, ended: datetime) -> int:
    """10, 20, 40, … 300 seconds from the end on, as the kubelet waits for containers that crash."""
    if row.started_at is not None and ended - row.started_at >= STABLE_AFTER:
        return FIRST_RETRY_S
    return min(FIRST_RETRY_S * 2 ** min(row.retry_count, 10), LAST_RETRY_S)
