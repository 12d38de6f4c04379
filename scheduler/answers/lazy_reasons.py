"""Why a deployment waits that no cycle reads, since no capacity could come free for it
(store/queue/relevant.py)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from clusters.models import Cluster, Preemption, Queueing
from deployments.models import Deployment, WaitReason
from mlops_platform.api.ids import milliseconds
from mlops_platform.database.clock import database_now
from scheduler.answers.explain import as_workload
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.wait_reasons import ReasonsWithoutCycle
from scheduler.store import empty_snapshots
from scheduler.store.running import evictable_in
from scheduler.store.volumes import local_volumes, names_of


def reasons_of(deployments: Sequence[Deployment]) -> dict[UUID, tuple[str, dict[str, Any]]]:
    """By id, for the deployments that waited when a cycle last looked. Two queries, one more where
    queueing is strict, where only some nodes have a volume, and where any could evict on nodes; two
    where owners matter, and where there are windows."""
    clusters = Cluster.objects.in_bulk({row.cluster_id for row in deployments})
    looked = {pk: cluster.evaluated_at for pk, cluster in clusters.items()}
    seen = [
        row
        for row in deployments
        if (at := looked.get(row.cluster_id)) is not None and row.queued_at <= at
    ]
    clusters = {pk: clusters[pk] for pk in {row.cluster_id for row in seen}}
    if not clusters:
        return {}
    heads, volumes = _heads(clusters.values()), local_volumes(clusters.values())
    snapshots = empty_snapshots(clusters.values(), volumes)
    if any(each.windows for each in snapshots.values()):  # which of them count depends on the time
        now_ms = milliseconds(database_now())
        snapshots = {pk: replace(each, now_ms=now_ms) for pk, each in snapshots.items()}
    preempting = [
        row
        for row in seen
        if row.priority_class.may_preempt
        and clusters[row.cluster_id].preemption == Preemption.LOWER_PRIORITY
        and snapshots[row.cluster_id].nodes
    ]
    evictable = _evictable_by(preempting) if preempting else {}
    answers = {
        pk: ReasonsWithoutCycle(snapshot, heads.get(pk), evictable.get(pk))
        for pk, snapshot in snapshots.items()
    }
    found = {}
    for row in seen:
        local = names_of(volumes.get(row.cluster_id, ()))
        reason = answers[row.cluster_id].why(as_workload(row, local))
        found[row.pk] = (reason.code.value, reason.details)
    return found


_ByClass = dict[str, dict[str, Resources]]  # by priority class, then node


def _evictable_by(preempting: Iterable[Deployment]) -> dict[UUID, _ByClass]:
    """By cluster, what deployments of these classes could evict, exempt times aside."""
    found: dict[UUID, _ByClass] = defaultdict(dict)
    classes = {(row.cluster_id, row.priority_class) for row in preempting}
    amounts = evictable_in({cluster for cluster, _ in classes})
    for cluster, priority in classes:
        by_node = found[cluster].setdefault(priority.name, {})
        for value, node, amount in amounts[cluster]:
            if value < priority.value:
                by_node[node] = by_node.get(node, ZERO).plus(amount)
    return found


def _heads(clusters: Iterable[Cluster]) -> dict[UUID, str]:
    """The heads of clusters with strict queueing: no other deployment there has its own reason."""
    strict = [cluster.pk for cluster in clusters if cluster.queueing == Queueing.STRICT]
    if not strict:
        return {}
    own = WaitReason.objects.filter(cluster__in=strict, deployment__isnull=False)
    return {cluster: str(head) for cluster, head in own.values_list("cluster", "deployment")}
