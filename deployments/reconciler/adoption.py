"""Adopts what still runs on an engine that answers again after it counted as lost.

Its deployment went back into the queue (NODE_LOST). Unless it was started elsewhere since, or what
it had has been given away, it goes on with the same attempt: no work is lost for want of an answer.
This comes before the engine's node opens, so that no cycle has used its capacity yet.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, F, Max
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from clusters.allocation import AllocationChange, move
from clusters.models import Cluster, Node, NodeState, Quota, State
from clusters.services.clusters import lock_cluster
from deployments import wakeup
from deployments.lifecycle.timeline import record_all
from deployments.models import Deployment, DeploymentEvent, EventType, Status
from deployments.queries.allocations import allocated_in
from deployments.reasons.codes import ADOPTED, NODE_LOST
from deployments.reconciler.observation import Observation
from deployments.runtimes.base import Phase, ReplicaStatus
from deployments.scheduling_key import key_of
from deployments.signals import deployment_stopped
from deployments.usage import intervals
from deployments.whole_nodes import ASKED, GIVEN
from mlops_platform.api.resources import RESOURCES, Amounts
from mlops_platform.database.clock import database_now

Found = list[tuple[ReplicaStatus, str]]  # the replicas of a deployment, and the ids of their nodes

BATCH = 500  # rows under one lock
COLUMNS = [
    *("status", "placement", "reason_code", "reason_details", "retry_at", "started_at", "due_at"),
    *("checkpoint_at", "image_digest", "avoided_node_id", "avoid_until", "scheduling_key"),
    *("cpu_milli", "ram_mib", "gpu", "whole"),
]


def adopt(observation: Observation) -> None:
    """One query where an engine has returned, and about a dozen for each BATCH of deployments that
    may be adopted."""
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
    whole: list[tuple[UUID, Found]] = []
    for row in lost.only("attempt", "replicas").order_by("queued_at", "pk"):
        of_attempt = [each for each in found[str(row.pk)] if each[0].key.attempt == row.attempt]
        if {each.key.replica for each, _ in of_attempt} == set(range(row.replicas)):
            whole.append((row.pk, sorted(of_attempt, key=lambda each: each[0].key)))
    for start in range(0, len(whole), BATCH):
        _adopt(observation.cluster, dict(whole[start : start + BATCH]))


def _adopt(cluster: Cluster, running: Mapping[UUID, Found]) -> None:
    with transaction.atomic():
        try:
            locked = lock_cluster(cluster.pk)
        except Cluster.DoesNotExist:
            return
        queued = Deployment.objects.select_for_update(no_key=True, of=("self",))
        queued = queued.select_related("priority_class").order_by("queued_at", "pk")
        rows = [
            row
            for row in queued.filter(pk__in=list(running), status=Status.QUEUED)
            if row.attempt == running[row.pk][0][0].key.attempt
        ]
        capacity = FreeCapacity(locked, rows)
        adopted = [row for row in rows if capacity.take(row, [node for _, node in running[row.pk]])]
        if not adopted:
            return
        now, checkpoints = database_now(), _last_checkpoints(adopted)
        for row in adopted:
            _set_columns(row, locked, capacity.nodes, running[row.pk], now)
            reported = checkpoints.get(row.pk)
            if reported and row.started_at and reported >= row.started_at:
                row.checkpoint_at = reported
        Deployment.objects.bulk_update(adopted, COLUMNS)
        move({cluster.pk: capacity.taken}, changed_at=now)
        intervals.begin([row.pk for row in adopted], now)
        lines = [(row.pk, {"attempt": row.attempt, "code": ADOPTED}) for row in adopted]
        record_all(lines, EventType.RUNNING, at=now)
        ids = [row.pk for row in adopted]
        deployment_stopped.send(
            Deployment, cluster_id=cluster.pk, deployment_ids=ids, trigger="CHANGED"
        )
        transaction.on_commit(partial(wakeup.request, cluster.pk, [str(pk) for pk in ids]))


def _set_columns(
    row: Deployment, cluster: Cluster, nodes: Mapping[str, Node], found: Found, now: datetime
) -> None:
    """Set the COLUMNS of a row that runs on, but for its checkpoint."""
    row.placement = [
        {"node_id": node_id, "node": nodes[node_id].name, "replicas": len(list(of_node))}
        for node_id, of_node in groupby(node_id for _, node_id in found)
    ]
    times = [status.started_at for status, _ in found if status.started_at]
    row.started_at = min(max([row.admitted_at or now, *times]), now)
    row.status, row.reason_code, row.reason_details, row.retry_at = Status.RUNNING, "", {}, None
    if row.max_runtime_s is not None:
        row.due_at = row.started_at + timedelta(seconds=row.max_runtime_s)
    digests = (status.image_digest for status, _ in found)
    row.image_digest = next(filter(None, digests), row.image_digest)
    row.avoided_node_id, row.avoid_until = None, None
    row.scheduling_key = key_of(row, cluster)


def take_again(row: Deployment) -> None:
    """Have a deployment that took whole nodes, and waits, ask for what it was given there; it is
    not saved."""
    row.whole = {**row.whole, ASKED: row.asked._asdict()}
    if (given := row.whole.get(GIVEN)) is not None:
        row.cpu_milli, row.ram_mib, row.gpu = Amounts(**given)


def _last_checkpoints(rows: Sequence[Deployment]) -> dict[UUID, datetime]:
    """The latest reports of the rows' timelines, perhaps of an earlier attempt: in the queue a row
    has none. One query."""
    reports = DeploymentEvent.objects.filter(deployment__in=rows, type=EventType.CHECKPOINTED)
    at = Cast(KeyTextTransform("at", "details"), DateTimeField())
    return dict(
        reports.values("deployment_id")
        .annotate(newest=Max(at))
        .values_list("deployment_id", "newest")
    )


LEAVING = (NodeState.DRAINING, NodeState.DRAINED)  # nothing comes back to these


class FreeCapacity:
    """What the nodes and the owners' quotas still have. The caller has locked the cluster.

    Two queries, and two more with quotas.
    """

    def __init__(self, cluster: Cluster, rows: Sequence[Deployment]) -> None:
        self.nodes = {str(node.pk): node for node in Node.objects.filter(cluster=cluster)}
        self.taken = AllocationChange()
        self._is_active = cluster.state == State.ACTIVE
        changes = DeploymentEvent.objects.filter(deployment__in=rows, type=EventType.CHANGED)
        self._changed = set(
            changes.filter(at__gte=F("deployment__queued_at")).values_list(
                "deployment_id", flat=True
            )
        )
        self._quotas: dict[UUID | None, Quota] = {}
        self._allocated: dict[UUID, Amounts] = {}
        if cluster.has_quotas:
            self._quotas = {each.user_id: each for each in Quota.objects.filter(cluster=cluster)}
            owners = {row.owner_id for row in rows}
            self._allocated = allocated_in([cluster.pk], owner__in=owners)[cluster.pk]

    def take(self, row: Deployment, node_ids: Sequence[str]) -> bool:
        """Take what the row had, one replica on each of the nodes; False where any of that is not
        free, a node is drained, or the row's request was changed while it was queued."""
        if not self._is_active or row.pending_dependencies or row.pk in self._changed:
            return False
        if row.whole:
            take_again(row)
        request = Amounts(row.cpu_milli, row.ram_mib, row.gpu)
        change = AllocationChange()
        for node_id in node_ids:
            change.add(node_id, request)
        owners = _with(request, row.replicas, self._allocated.get(row.owner_id))
        if not all(self._has(each, change[each]) for each in change):
            return False
        if not _fits(owners, self._quotas.get(row.owner_id) or self._quotas.get(None)):
            return False
        for node, amounts in change.items():
            self.taken.add(node, amounts)
        self._allocated[row.owner_id] = owners
        return True

    def _has(self, node_id: str | None, amounts: Amounts) -> bool:
        node = self.nodes.get(str(node_id))
        if node is None or node.state in LEAVING or node.pending:
            return False
        taken = self.taken.get(node_id, Amounts())
        return all(
            getattr(taken, name) + getattr(amounts, name)
            <= getattr(node, name) - getattr(node, f"allocated_{name}")
            for name in RESOURCES
        )


def _with(request: Amounts, replicas: int, before: Amounts | None) -> Amounts:
    present = before or Amounts()
    return Amounts(*(had + each * replicas for had, each in zip(present, request, strict=True)))


def _fits(amounts: Amounts, quota: Quota | None) -> bool:
    limits = ((getattr(quota, f"max_{name}", None), getattr(amounts, name)) for name in RESOURCES)
    return all(most is None or amount <= most for most, amount in limits)
