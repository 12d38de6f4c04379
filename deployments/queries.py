"""Reads deployments as far as a user may see them, each in a fixed number of queries."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum

from accounts.models import User
from clusters.models import Cluster, Runtime, State
from deployments import hooks, reasons, redis_queues
from deployments.models import (
    ALLOCATED,
    ENDED,
    Deployment,
    DeploymentEvent,
    PriorityClass,
    Status,
    WaitReason,
)
from deployments.node_away import NodesAway
from deployments.preemption_reasons import SPARED
from mlops_platform.api.errors import Invalid, not_found
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.resources import Amounts
from organizations.access import organizations_of

LACKING = ("INSUFFICIENT_CAPACITY", "FRAGMENTED")
"""The codes of those for which preemption could free what they lack."""

LARGE = ("command", "args", "env", "env_names", "readiness")
"""What lists of deployments leave out: a page of it could have a hundred megabytes."""

AllocatedByOwner = dict[UUID, Amounts]
Rows = TypeVar("Rows", bound=QuerySet[Deployment])


def deployments_visible_to(user: User) -> QuerySet[Deployment]:
    """The deployments of the user's organizations, newest first; no query of its own."""
    return (
        Deployment.objects.filter(
            cluster__organization__in=organizations_of(user), cluster__deleted_at=None
        )
        .select_related("priority_class")
        .order_by("-id")
    )


def without_large(deployments: Rows) -> Rows:
    """For a list: the columns that it leaves out are not read either."""
    columns = {field.name for field in Deployment._meta.fields}
    return deployments.defer(*(name for name in LARGE if name in columns))


def deployment_for(user: User, deployment_id: UUID | str) -> Deployment:
    """The deployment with its cluster; 404 where the user may not see it. One query."""
    visible = deployments_visible_to(user).select_related("priority_class", "cluster")
    key = parse_uuid(deployment_id)
    deployment = visible.filter(pk=key).first() if key else None
    if deployment is None:
        raise not_found()
    return deployment


def deployment_by_id(deployment_id: UUID) -> Deployment:
    """The deployment after a change; 404 if it is gone with its cluster. One query."""
    found = Deployment.objects.select_related("priority_class").filter(pk=deployment_id).first()
    if found is None:
        raise not_found()
    return found


def events_of(deployment: Deployment) -> QuerySet[DeploymentEvent]:
    """Its timeline, oldest first."""
    return deployment.events.select_related("actor").order_by("id")


def priority_classes() -> dict[str, PriorityClass]:
    """Every class by name, most urgent first; one query for a handful of rows."""
    return PriorityClass.objects.order_by("-value").in_bulk(field_name="name")


def priority_named(name: str, classes: Mapping[str, PriorityClass]) -> PriorityClass:
    """The class of that name in any letter case; 400 that lists the names."""
    found = classes.get(name.upper() if name.isascii() else name)
    if found is None:
        raise Invalid({"priority": f"One of {', '.join(classes)}."})
    return found


class Dependency(NamedTuple):
    """A deployment that another one depends on."""

    id: UUID
    status: str


Dependencies = Mapping[UUID, Sequence[Dependency]]


def dependencies_of(deployments: Iterable[Deployment]) -> dict[UUID, list[Dependency]]:
    """The dependencies of each deployment that has any, oldest first, by its id. One query."""
    links = Deployment.depends_on.through.objects.filter(
        from_deployment__in=[row.pk for row in deployments]
    ).order_by("to_deployment")
    found: dict[UUID, list[Dependency]] = {}
    for key, dependency, status in links.values_list(
        "from_deployment_id", "to_deployment_id", "to_deployment__status"
    ):
        found.setdefault(key, []).append(Dependency(dependency, status))
    return found


def reasons_for(
    deployments: Iterable[Deployment], dependencies: Dependencies | None = None
) -> dict[UUID, dict[str, Any] | None]:
    """Each deployment's rendered reason by id; None for a deployment without one.

    A queued deployment has the reason that the last cycle stored for itself, or for its scheduling
    key. After an eviction or a failed attempt it keeps that reason, with the present one under
    `waiting_for`. An ended deployment has the reason of its end, a starting one what it still waits
    for, and a running or stopping one whether its node is away. A cycle never reads a deployment
    that waits for dependencies or for its next attempt, so those reasons are found here; nor one
    for which nothing could come free, whose reason the scheduler derives on request.

    One query if any is queued; one if any has dependencies and `dependencies` (of dependencies_of)
    are not given; up to three if any reason has to be derived; one if any lacks capacity though its
    class may preempt; and one if any is on a node, or waits while nodes are closed.
    """
    deployments = list(deployments)
    queued = [row for row in deployments if row.status == Status.QUEUED]
    dependent = [row for row in queued if row.pending_dependencies]
    if dependencies is None:
        dependencies = dependencies_of(dependent) if dependent else {}
    eligible = [row for row in queued if not row.pending_dependencies and not row.retry_at]
    waits = _wait_reasons(eligible)
    if without := [row for row in eligible if row.pk not in waits]:
        waits |= _derived(without)
    waits |= _with_spared(eligible, waits)
    if dependent:
        waits |= _dependency_waits(dependent, dependencies)
    for row in queued:
        if row.retry_at and not row.pending_dependencies:
            details = {"retry_at": row.retry_at.isoformat()}
            waits[row.pk] = WaitReason(code=reasons.BACKOFF, details=details)
    away = NodesAway(deployments, waits)
    return {
        row.pk: _reason(row, away.add_to(row, waits.get(row.pk)), away.reason(row))
        for row in deployments
    }


def positions_of(
    deployments: Iterable[Deployment], class_names: Sequence[str]
) -> dict[UUID, int | None]:
    """The position of each queued deployment in its cluster, by id; one Redis round trip."""
    queued = [row for row in deployments if row.status == Status.QUEUED]
    entries = [(row.cluster_id, row.priority_class.name, row.pk) for row in queued]
    found = redis_queues.positions(entries, class_names)
    return {row.pk: position for row, position in zip(queued, found, strict=True)}


def clusters_with_endpoints() -> list[UUID]:
    """The clusters in which containers run, or could. One query."""
    return list(
        Cluster.objects.exclude(runtime=Runtime.SIMULATED)
        .filter(Q(endpoints__isnull=False) | Q(state=State.DELETING))
        .distinct()
        .values_list("pk", flat=True)
    )


def in_use(cluster: Cluster) -> QuerySet[Deployment]:
    """The cluster's deployments that wait or have an allocation."""
    return Deployment.objects.filter(cluster=cluster).exclude(status__in=ENDED)


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


def _dependency_waits(
    dependent: Sequence[Deployment], dependencies: Dependencies
) -> dict[UUID, WaitReason]:
    waits = {}
    for row in dependent:
        pending = [each for each in dependencies.get(row.pk, ()) if each.status != Status.COMPLETED]
        if pending:  # else the last dependency has completed since the row was read
            details = reasons.waiting_for([each.id for each in pending])
            waits[row.pk] = WaitReason(code=reasons.WAITING_FOR_DEPENDENCIES, details=details)
    return waits


def _wait_reasons(queued: Sequence[Deployment]) -> dict[UUID, WaitReason]:
    if not queued:
        return {}
    found = WaitReason.objects.filter(
        Q(deployment__in=[row.pk for row in queued])
        | Q(
            deployment=None,
            cluster__in={row.cluster_id for row in queued},
            scheduling_key__in={row.scheduling_key for row in queued},
        )
    )
    own: dict[UUID, WaitReason] = {}
    by_key: dict[tuple[UUID, str], WaitReason] = {}
    for reason in found:
        if reason.deployment_id is not None:
            own[reason.deployment_id] = reason
        else:
            by_key[reason.cluster_id, reason.scheduling_key] = reason
    waits = {
        row.pk: own.get(row.pk) or by_key.get((row.cluster_id, row.scheduling_key))
        for row in queued
    }
    return {pk: reason for pk, reason in waits.items() if reason is not None}


def _derived(missing: Sequence[Deployment]) -> dict[UUID, WaitReason]:
    derived = hooks.derive_wait_reasons(missing)
    return {pk: WaitReason(code=code, details=details) for pk, (code, details) in derived.items()}


def _with_spared(
    rows: Iterable[Deployment], waits: Mapping[UUID, WaitReason]
) -> dict[UUID, WaitReason]:
    """The reasons of the deployments that lack capacity, and that may preempt, with the causes for
    which nothing is preempted. Read with each answer rather than stored, as exempt times end."""
    lacking = [
        (row, waits[row.pk].details)
        for row in rows
        if row.pk in waits and waits[row.pk].code in LACKING and row.priority_class.may_preempt
    ]
    found = hooks.find_spared(lacking) if lacking else {}
    return {
        pk: WaitReason(code=waits[pk].code, details={**waits[pk].details, SPARED: causes})
        for pk, causes in found.items()
    }


def _reason(
    deployment: Deployment, wait: WaitReason | None, away: dict[str, Any] | None
) -> dict[str, Any] | None:
    past = (
        reasons.render(deployment.reason_code, deployment.reason_details)
        if deployment.reason_code
        else None
    )
    now = away
    if deployment.status == Status.RUNNING:
        return now
    if deployment.status == Status.QUEUED:
        now = (
            reasons.render(wait.code, wait.details)
            if wait
            else reasons.render(reasons.NOT_YET_EVALUATED, {})
        )
    if past is None or now is None:
        return past or now
    return {
        "code": past["code"],
        "message": f"{past['message']} {now['message']}",
        "details": {**past["details"], "waiting_for": now},
    }
