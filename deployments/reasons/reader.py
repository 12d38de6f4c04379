"""Reads the reason of each deployment: why it waits, or has ended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from deployments import hooks
from deployments.models import Deployment, Status, WaitReason
from deployments.names import Names, all_references
from deployments.queries.dependencies import Dependencies, dependencies_of
from deployments.queries.names import names_of
from deployments.queries.soon_empty import soon_empty
from deployments.reasons import codes, whole_nodes
from deployments.reasons.nodes_away import NodesAway
from deployments.reasons.others import waiting_for
from deployments.reasons.preemption import SPARED
from deployments.reasons.windows import WINDOWS

OF_PRESENT = ("NOT_READY", "PAUSED")  # they say nothing of a deployment that runs no more
_COLUMNS = ("deployment_id", "cluster_id", "scheduling_key", "code", "details")
LACKING = ("INSUFFICIENT_CAPACITY", "FRAGMENTED", "NO_EMPTY_NODE", "GPUS_IN_USE")
"""The codes of those for which preemption could free what they lack."""


def reasons_for(
    deployments: Iterable[Deployment], dependencies: Dependencies | None = None
) -> dict[UUID, dict[str, Any] | None]:
    """Each deployment's rendered reason by id; None for a deployment without one.

    A queued deployment has the reason that the last cycle stored for itself, or for its scheduling
    key. After an eviction or a failed attempt it keeps that reason, with the present one under
    `waiting_for`. An ended deployment has the reason of its end, a starting one what it still waits
    for, a running one that it is not ready, and one that runs or stops that its node is away. A
    cycle never reads a deployment
    that waits for dependencies or for its next attempt, so those reasons are found here; nor one
    for which nothing could come free, whose reason the scheduler derives on request. Deployments
    that a reason refers to are named. While the scheduler does not answer, what waits for it says
    so.

    One query if any is queued; one if any has dependencies and `dependencies` (of dependencies_of)
    are not given; up to four if any reason has to be derived; one if any lacks capacity though its
    class may preempt; two if any lacks an empty node; one if any is on a node, or waits while nodes
    are closed; and one if any reason refers to other deployments. Those of
    hooks.scheduler_silent_since where it may not answer.
    """
    deployments = list(deployments)
    queued = [row for row in deployments if row.status == Status.QUEUED]
    dependent = [row for row in queued if row.pending_dependencies]
    if dependencies is None:
        dependencies = dependencies_of(dependent) if dependent else {}
    eligible = [row for row in queued if not row.pending_dependencies and not row.retry_at]
    scheduled = [row for row in queued if not row.pending_dependencies]
    waits, is_late = _wait_reasons(scheduled, eligible)
    if without := [row for row in eligible if row.pk not in waits]:
        waits |= _derived(without)
    if whole := [row for row in eligible if row.whole]:
        waits |= _with_soon_empty(whole, waits)
    waits |= _with_spared(eligible, waits)
    paused = {pk for pk, wait in waits.items() if wait.code == codes.CLUSTER_PAUSED}
    if paused:
        waits |= _with_state_change([row for row in eligible if row.pk in paused], waits)
    if dependent:
        waits |= _dependency_waits(dependent, dependencies)
    for row in queued:
        if row.retry_at and not row.pending_dependencies:
            details = {"retry_at": row.retry_at.isoformat()}
            waits[row.pk] = WaitReason(code=codes.BACKOFF, details=details)
    if is_late and (silent_since := hooks.scheduler_silent_since()) is not None:
        waits |= {row.pk: _with_silence(waits.get(row.pk), silent_since) for row in scheduled}
    away = NodesAway(deployments, waits)
    present = {row.pk: away.add_to(row, waits.get(row.pk)) for row in deployments}
    stored = [row.reason_details for row in deployments if row.reason_details]
    stored += [wait.details for wait in present.values() if wait is not None and wait.details]
    names = (
        names_of(all_references(stored), {row.cluster_id for row in deployments}) if stored else {}
    )
    return {row.pk: _reason(row, present[row.pk], away.reason(row), names) for row in deployments}


def _dependency_waits(
    dependent: Sequence[Deployment], dependencies: Dependencies
) -> dict[UUID, WaitReason]:
    waits = {}
    for row in dependent:
        pending = [each for each in dependencies.get(row.pk, ()) if each.status != Status.COMPLETED]
        if pending:  # else the last dependency has completed since the row was read
            details = waiting_for([each.id for each in pending], [each.name for each in pending])
            waits[row.pk] = WaitReason(code=codes.WAITING_FOR_DEPENDENCIES, details=details)
    return waits


def _wait_reasons(
    scheduled: Sequence[Deployment], eligible: Sequence[Deployment]
) -> tuple[dict[UUID, WaitReason], bool]:
    """The stored reasons of the eligible ones, and whether the scheduler may not have answered
    lately. One query for both; none where none waits for the scheduler."""
    if not scheduled:
        return {}, False
    stored = WaitReason.objects.filter(
        Q(deployment__in=[row.pk for row in eligible])
        | Q(
            deployment=None,
            cluster__in={row.cluster_id for row in eligible},
            scheduling_key__in={row.scheduling_key for row in eligible},
        )
    )
    late = hooks.scheduler_late_rows(_COLUMNS)
    own: dict[UUID, WaitReason] = {}
    by_key: dict[tuple[UUID, str], WaitReason] = {}
    is_late = False
    for values in stored.values_list(*_COLUMNS).union(late, all=True):
        reason = WaitReason(**dict(zip(_COLUMNS, values, strict=True)))
        if not reason.code:
            is_late = True
        elif reason.deployment_id is not None:
            own[reason.deployment_id] = reason
        else:
            by_key[reason.cluster_id, reason.scheduling_key] = reason
    waits = {
        row.pk: own.get(row.pk) or by_key.get((row.cluster_id, row.scheduling_key))
        for row in eligible
    }
    return {pk: reason for pk, reason in waits.items() if reason is not None}, is_late


def _with_silence(wait: WaitReason | None, since: datetime) -> WaitReason:
    """The reason with the time since which no worker of the scheduler has answered. Read with each
    answer rather than stored, as nothing writes it while none does."""
    wait = wait or WaitReason(code=codes.NOT_YET_EVALUATED, details={})
    details = {**wait.details, codes.SCHEDULER_SILENT: since.isoformat()}
    return WaitReason(code=wait.code, details=details)


def _derived(missing: Sequence[Deployment]) -> dict[UUID, WaitReason]:
    derived = hooks.derive_wait_reasons(missing)
    return {pk: WaitReason(code=code, details=details) for pk, (code, details) in derived.items()}


def _with_soon_empty(
    rows: Iterable[Deployment], waits: Mapping[UUID, WaitReason]
) -> dict[UUID, WaitReason]:
    """The reasons of single replicas that wait for an empty node, with the next one to be empty.
    Read with each answer, as it depends on what a cycle need not read. The rows take whole ones."""
    waiting = [
        row
        for row in rows
        if row.replicas == 1
        and not row.volumes
        and row.pk in waits
        and waits[row.pk].code in whole_nodes.SENTENCES
    ]
    return {
        pk: WaitReason(code=waits[pk].code, details={**waits[pk].details, "soon_empty": following})
        for pk, following in soon_empty(waiting).items()
    }


def _with_state_change(
    paused: Iterable[Deployment], waits: Mapping[UUID, WaitReason]
) -> dict[UUID, WaitReason]:
    """The reasons of the deployments whose cluster starts nothing, with when, by whom and why its
    state was set."""
    found = {}
    for row in paused:
        wait, change = waits[row.pk], row.cluster.state_change
        if change and row.cluster.state == (wait.details or {}).get("state"):
            said = {"since": change["at"], "actor": change["by"], "cause": change["reason"]}
            details = {**wait.details, **{name: each for name, each in said.items() if each}}
            found[row.pk] = WaitReason(code=wait.code, details=details)
    return found


def _with_spared(
    rows: Iterable[Deployment], waits: Mapping[UUID, WaitReason]
) -> dict[UUID, WaitReason]:
    """The reasons of the deployments that lack capacity, and that may preempt, with the causes for
    which nothing is preempted. Read with each answer rather than stored, as exempt times end."""
    lacking = [
        (row, waits[row.pk].details)
        for row in rows
        if row.pk in waits
        and waits[row.pk].code in LACKING
        and row.priority_class.may_preempt
        and WINDOWS not in waits[row.pk].details  # which nodes count depends on its limit
    ]
    found = hooks.find_spared(lacking) if lacking else {}
    return {
        pk: WaitReason(code=waits[pk].code, details={**waits[pk].details, SPARED: causes})
        for pk, causes in found.items()
    }


def _reason(
    deployment: Deployment, wait: WaitReason | None, away: dict[str, Any] | None, names: Names
) -> dict[str, Any] | None:
    code, status = deployment.reason_code, deployment.status
    is_over = code in OF_PRESENT and status not in (Status.STARTING, Status.RUNNING)
    past = codes.render(code, deployment.reason_details, names) if code and not is_over else None
    now = away
    if status == Status.RUNNING:
        return now or (past if code in OF_PRESENT else None)
    if deployment.status == Status.QUEUED:
        now = (
            codes.render(wait.code, wait.details, names)
            if wait
            else codes.render(codes.NOT_YET_EVALUATED, {})
        )
    if past is None or now is None:
        return past or now
    return {
        "code": past["code"],
        "message": f"{past['message']} {now['message']}",
        "details": {**past["details"], "waiting_for": now},
    }
