"""Changes a deployment, also while the scheduler may be about to start it."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import User
from clusters.models import Cluster
from clusters.services.clusters import lock_cluster_or_404
from deployments.house import rules
from deployments.lifecycle.timeline import record, record_all
from deployments.models import ENDED, Deployment, EventType, PriorityClass, Status
from deployments.queries.deployments import deployment_by_id
from deployments.queries.priority_classes import priority_classes, priority_named
from deployments.runtimes.peers import RANKS, why_no_rank
from deployments.scheduling_key import key_of
from deployments.services.drafting import program, whole_nodes
from deployments.services.drafting.program import PROGRAM
from deployments.signals import deployment_stopped
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.api.resources import PUBLIC_NAMES, public_amount
from mlops_platform.database.row_waits import lock_row

# The columns of the request, and what the API calls them.
REQUEST = {
    **{column: f"required_{name}" for column, name in PUBLIC_NAMES.items()},
    "replicas": "replicas",
    "node_selector": "node_selector",
    "exclusive": "exclusive",
    "max_runtime_s": "max_runtime_s",
}


def change_deployment(
    user: User,
    deployment: Deployment,
    changes: Mapping[str, Any],
    *,
    priority: str | None = None,
    confirm: bool = False,
) -> Deployment:
    """Give it another name or labels (any time), priority (until it ends), request or program
    (while it is queued).

    `changes` are columns, `exclusive`, and of `env` the variables that change. 409 where its state
    does not allow the change. Class and request are changed under the cluster's lock, so no cycle
    plans with half of a change.
    """
    priority_class = priority_named(priority, priority_classes()) if priority else None
    ruled = bool(priority or changes.keys() & REQUEST.keys()) and rules.has_rules(
        deployment.cluster_id
    )
    if ruled and priority_class and priority_class.pk != deployment.priority_class_id:
        rules.refuse_class(user, deployment.cluster_id, priority_class)
        if not confirm:
            rules.ask_before_raising(user, [deployment], priority_class)
    cluster = None
    with transaction.atomic():
        if priority_class or changes.keys() & REQUEST.keys():
            cluster = lock_cluster_or_404(deployment.cluster_id)
            refuse_selector_in_pool(cluster, changes)
            whole_nodes.refuse_in_pool(cluster, changes)
        rows = Deployment.objects.select_related("priority_class")
        row = lock_row(rows, deployment.pk, of=("self",))
        if row is None:
            raise not_found()
        _change(user, row, changes, priority_class, cluster)
        if ruled and row.priority_class.may_preempt and row.status not in ENDED:
            rules.keep_limits([row])
    return deployment_by_id(deployment.pk)


def refuse_selector_in_pool(cluster: Cluster, columns: Mapping[str, Any]) -> None:
    """400 for a node selector in a pool. Where there are nodes, or will be, the deployment waits:
    nodes with the labels may be added later."""
    if columns.get("node_selector") and cluster.is_pool:
        raise Invalid({"node_selector": "The cluster has no nodes: it is one pool."})


def _change(
    user: User,
    row: Deployment,
    changes: Mapping[str, Any],
    priority_class: PriorityClass | None,
    cluster: Cluster | None,
) -> None:
    """`cluster` is locked, and given where more than the name changes."""
    changed: dict[str, Any] = {}
    columns = [column for column in changes if column in PROGRAM]
    if columns:
        program.refuse_stranger_to(row, user, also_secrets=True)
        changed |= program.change(row, changes)
        columns += ["env_owner_id"] if "env" in changes else []
    for column, value in changes.items():
        if column in PROGRAM:
            continue
        before = whole_nodes.value_of(row, column)
        if before != value:
            changed[REQUEST.get(column, column)] = {
                "from": public_amount(column, before),
                "to": public_amount(column, value),
            }
            columns += whole_nodes.set_value(row, column, value)
    if priority_class is not None and row.priority_class_id != priority_class.pk:
        changed["priority"] = {"from": row.priority_class.name, "to": priority_class.name}
        row.priority_class = priority_class
    if not changed:
        return
    _refuse(row, changed)
    if (
        "replicas" in changed
        and row.replicas > 1
        and (ranks := RANKS & {*row.env_names, *(each.get("env") for each in row.secrets)})
    ):
        raise Invalid({"replicas": f"Its env, or a secret, has a rank. {why_no_rank(ranks)}"})
    if cluster is not None:
        row.scheduling_key = key_of(row, cluster)
        columns += ["priority_class", "scheduling_key"]
    row.save(update_fields=columns)
    record(row.pk, EventType.CHANGED, at=None, actor=user, details=changed)
    if changed.keys() - {"name", "labels", *PROGRAM}:
        deployment_stopped.send(
            Deployment, cluster_id=row.cluster_id, deployment_ids=[row.pk], trigger="CHANGED"
        )


def _refuse(row: Deployment, changed: Mapping[str, Any]) -> None:
    if row.status != Status.QUEUED and changed.keys() & {*REQUEST.values(), *PROGRAM}:
        raise Conflict(
            f"What it asks for, and runs, can change only while it is QUEUED; it is {row.status}.",
            code="not_queued",
        )
    if row.status in ENDED and "priority" in changed:
        raise too_late(row)


def too_late(row: Deployment) -> Conflict:
    """409 for another priority of what has ended."""
    return Conflict(f"It is {row.status}: its priority no longer matters.", code="ended")


def give_priority(
    user: User,
    cluster_id: UUID,
    ids: Collection[UUID],
    priority: PriorityClass,
    *,
    by_member: bool = False,
) -> dict[UUID, Conflict]:
    """Give these deployments of a cluster another priority, and return those that have ended
    meanwhile, with what is to be said of them. Five queries and a cycle for all of them. A member
    is bound by the house rules, an operator is not."""
    with transaction.atomic():
        cluster = lock_cluster_or_404(cluster_id)
        rows = Deployment.objects.filter(cluster=cluster_id, pk__in=ids)
        locked = rows.select_for_update(no_key=True, of=("self",)).order_by("pk")
        found = list(locked.select_related("priority_class"))
        late = {row.pk: too_late(row) for row in found if row.status in ENDED}
        lines = []
        for row in found:
            if row.pk not in late and row.priority_class_id != priority.pk:
                change = {"from": row.priority_class.name, "to": priority.name}
                lines.append((row.pk, {"priority": change}))
                row.priority_class = priority
                row.scheduling_key = key_of(row, cluster)
        changed = {pk for pk, _ in lines}
        if changed:
            given = [row for row in found if row.pk in changed]
            Deployment.objects.bulk_update(given, ["priority_class", "scheduling_key"])
            if by_member and priority.may_preempt:
                rules.keep_limits(given)
            record_all(lines, EventType.CHANGED, at=None, actor=user, cluster=cluster)
            deployment_stopped.send(
                Deployment, cluster_id=cluster_id, deployment_ids=sorted(changed), trigger="CHANGED"
            )
    return late
