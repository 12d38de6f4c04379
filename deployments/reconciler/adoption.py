"""Adopts what still runs on an engine that answers again after it counted as lost.

Its deployment went back into the queue (NODE_LOST). Unless it was started elsewhere since, or what
it had has been given away, it goes on with the same attempt: no work is lost for want of an answer.
This comes before the engine's node opens, so that no cycle has used its capacity yet.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction

from clusters.allocation import AllocationChange, move
from clusters.models import Cluster, Node, NodeState, Quota, State
from clusters.services.clusters import lock_cluster
from deployments import wakeup
from deployments.lifecycle.timeline import record
from deployments.models import Deployment, DeploymentEvent, EventType, Status
from deployments.queries.allocations import allocated_in
from deployments.reasons.codes import ADOPTED, NODE_LOST
from deployments.reconciler.observation import Observation
from deployments.runtimes.base import Phase, ReplicaStatus
from deployments.scheduling_key import key_of
from deployments.signals import deployment_stopped
from mlops_platform.api.resources import RESOURCES
from mlops_platform.database.clock import database_now

Found = list[tuple[ReplicaStatus, str]]  # the replicas of a deployment, and the ids of their nodes


def adopt(observation: Observation) -> None:
    """One query where an engine has returned, and four more for each deployment that is adopted."""
    if not observation.is_of_engines or not observation.has_returned_node():
        return
    found: dict[str, Found] = {}
    for view, status in observation.replica_statuses():
        node_id = observation.node_id_of(view, status)
        if status.phase == Phase.RUNNING and not status.stopping and node_id is not None:
            found.setdefault(status.key.deployment_id, []).append((status, node_id))
    lost = Deployment.objects.filter(
        pk__in=list(found),
        cluster=observation.cluster,
        status=Status.QUEUED,
        reason_code=NODE_LOST,
    )
    for row in lost.order_by("queued_at", "pk"):
        of_attempt = [each for each in found[str(row.pk)] if each[0].key.attempt == row.attempt]
        if {each.key.replica for each, _ in of_attempt} == set(range(row.replicas)):
            _adopt(observation.cluster, row, sorted(of_attempt, key=lambda each: each[0].key))


def _adopt(cluster: Cluster, read: Deployment, found: Found) -> None:
    with transaction.atomic():
        try:
            locked = lock_cluster(cluster.pk)
        except Cluster.DoesNotExist:
            return
        queued = Deployment.objects.select_for_update(no_key=True, of=("self",))
        row = queued.filter(pk=read.pk, status=Status.QUEUED, attempt=read.attempt).first()
        nodes = {str(node.pk): node for node in Node.objects.filter(cluster=cluster)}
        if row is None or not _may_go_on(locked, row, nodes, [node_id for _, node_id in found]):
            return
        change, placement = AllocationChange(), list[dict[str, Any]]()
        for _, node_id in found:
            change.add(node_id, (row.cpu_milli, row.ram_mib, row.gpu))
            if placement and placement[-1]["node_id"] == node_id:
                placement[-1]["replicas"] += 1
            else:
                name = nodes[node_id].name
                placement.append({"node_id": node_id, "node": name, "replicas": 1})
        now = database_now()
        move({cluster.pk: change}, changed_at=now)
        _write(row, placement, found, now)
        deployment_stopped.send(
            Deployment, cluster_id=cluster.pk, deployment_ids=[row.pk], trigger="CHANGED"
        )
        transaction.on_commit(partial(wakeup.request, cluster.pk, [str(row.pk)]))


def _write(row: Deployment, placement: list[dict[str, Any]], found: Found, now: datetime) -> None:
    times = [status.started_at for status, _ in found if status.started_at]
    row.started_at = min(max([row.admitted_at or now, *times]), now)
    row.status, row.placement = Status.RUNNING, placement
    row.reason_code, row.reason_details, row.retry_at = "", {}, None
    if row.max_runtime_s is not None:
        row.due_at = row.started_at + timedelta(seconds=row.max_runtime_s)
    digests = (status.image_digest for status, _ in found)
    row.image_digest = next(filter(None, digests), row.image_digest)
    row.avoided_node_id, row.avoid_until = None, None
    row.scheduling_key = key_of(row)
    columns = ["status", "placement", "reason_code", "reason_details", "retry_at"]
    columns += ["avoided_node_id", "avoid_until", "scheduling_key"]
    row.save(update_fields=[*columns, "started_at", "due_at", "image_digest"])
    details = {"attempt": row.attempt, "code": ADOPTED}
    record(row.pk, EventType.RUNNING, at=now, details=details)


def _may_go_on(
    cluster: Cluster, row: Deployment, nodes: dict[str, Node], node_ids: Sequence[str]
) -> bool:
    """Whether its nodes and its owner's quota still have what it had, no node of them is drained,
    and its request was not changed while it was queued."""
    if cluster.state != State.ACTIVE or row.pending_dependencies:
        return False
    replicas: dict[str, int] = {}
    for node_id in node_ids:
        replicas[node_id] = replicas.get(node_id, 0) + 1
    for node_id, count in replicas.items():
        node = nodes.get(node_id)
        if node is None or node.state == NodeState.DRAINING or node.pending:
            return False
        for name in RESOURCES:
            free = getattr(node, name) - getattr(node, f"allocated_{name}")
            if getattr(row, name) * count > free:
                return False
    changes = DeploymentEvent.objects.filter(deployment=row, type=EventType.CHANGED)
    return _fits_quota(cluster, row) and not changes.filter(at__gte=row.queued_at).exists()


def _fits_quota(cluster: Cluster, row: Deployment) -> bool:
    if not cluster.has_quotas:
        return True
    quotas = {each.user_id: each for each in Quota.objects.filter(cluster=cluster)}
    quota = quotas.get(row.owner_id) or quotas.get(None)
    if quota is None:
        return True
    has = allocated_in([cluster.pk], owner=row.owner_id)[cluster.pk].get(row.owner_id)
    for number, name in enumerate(RESOURCES):
        most = getattr(quota, f"max_{name}")
        present = has[number] if has else 0
        if most is not None and present + getattr(row, name) * row.replicas > most:
            return False
    return True
