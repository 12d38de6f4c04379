"""From the tables to a snapshot: a few queries, rows that follow what can start."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from clusters.models import Cluster, Node
from clusters.services.clusters import lock_cluster
from deployments.models import PriorityClass
from deployments.scheduling_key import name_owners_of_late
from mlops_platform.api.ids import milliseconds
from scheduler.engine import Snapshot
from scheduler.engine import snapshot as told
from scheduler.engine.resources import Resources
from scheduler.store.queue_reader import QueueReader
from scheduler.store.relevant import bounded, whole
from scheduler.store.reservation_history import history_in
from scheduler.store.running import allocated_in, quotas_in


def load_snapshot(cluster_id: UUID) -> Snapshot:
    """Lock the cluster's row and read what the planner needs. Raises Cluster.DoesNotExist.

    The plan is that of the whole queue with everybody who runs; see relevant.py for what is left
    out.
    """
    cluster = lock_cluster(cluster_id)
    if cluster.by_owner:
        name_owners_of_late(cluster)
    return bounded(*_empty(cluster))


def read_snapshot(cluster_id: UUID, *, only_heads: bool = False, lock: bool = False) -> Snapshot:
    """Everything as it is: for questions. Raises Cluster.DoesNotExist.

    All that run are in it, and of each scheduling key as many as could ever run at once;
    `only_heads` takes the first of each, who speak for the rest once a cycle has looked. Without
    `lock` it holds up nobody, and is of one moment in a REPEATABLE READ transaction.
    """
    found = lock_cluster(cluster_id) if lock else Cluster.objects.get(pk=cluster_id)
    return whole(*_empty(found), only_heads=only_heads)


def empty_snapshots(clusters: Iterable[Cluster]) -> dict[UUID, Snapshot]:
    """Each cluster without workloads, classes and holds, by id. One query, and one more for
    each of what owners hold and may hold, where that matters."""
    clusters = list(clusters)
    nodes = _nodes([each.pk for each in clusters])
    quotas = quotas_in([each.pk for each in clusters if each.has_quotas])
    allocated = allocated_in([each.pk for each in clusters if each.by_owner])
    return {
        each.pk: replace(
            _snapshot(each),
            nodes=tuple(nodes[each.pk]),
            allocated_by_owner=allocated.get(each.pk, ()),
            quotas=quotas.get(each.pk, ()),
        )
        for each in clusters
    }


def see_one_moment() -> None:
    """First in a transaction: nothing that commits meanwhile is seen, nothing can be written.

    Does nothing where an outer transaction has begun already.
    """
    if not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _empty(cluster: Cluster) -> tuple[Snapshot, QueueReader]:
    """The cluster without its workloads, and whom to ask for these."""
    classes = list(PriorityClass.objects.order_by("-value"))
    snapshot = replace(
        empty_snapshots([cluster])[cluster.pk],
        classes=tuple(
            told.PriorityClass(each.name, each.value, each.may_preempt, each.preemptible)
            for each in classes
        ),
        reservation_history=history_in(cluster.pk),
    )
    ids = {each.name: each.pk for each in classes}
    return snapshot, QueueReader(cluster.pk, ids, snapshot.by_owner)


def _snapshot(cluster: Cluster) -> Snapshot:
    """What its row tells."""
    return Snapshot(
        cluster_id=str(cluster.pk),
        state=cluster.state,
        policy=policy_of(cluster),
        total=Resources(cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu),
        allocated=Resources(
            cluster.allocated_cpu_milli, cluster.allocated_ram_mib, cluster.allocated_gpu
        ),
        classes=(),
        nodes=(),
        running=(),
        queued=(),
        now_ms=milliseconds(timezone.now()),
        max_starts=settings.SCHEDULER_MAX_STARTS_PER_CYCLE,
    )


def policy_of(cluster: Cluster) -> told.Policy:
    return told.Policy(
        queueing=cluster.queueing,
        ordering=cluster.ordering,
        preemption=cluster.preemption,
        placement=cluster.placement,
        preempt_exempt_s=cluster.preempt_exempt_s,
        reserve_after_s=cluster.reserve_after_s,
        max_preemptions=cluster.max_preemptions,
    )


def _nodes(cluster_ids: Collection[UUID]) -> dict[UUID, list[told.Node]]:
    """Of each cluster, by id."""
    found: dict[UUID, list[told.Node]] = {cluster_id: [] for cluster_id in cluster_ids}
    for node in Node.objects.filter(cluster__in=cluster_ids).order_by("pk"):
        found[node.cluster_id].append(
            told.Node(
                id=str(node.pk),
                name=node.name,
                capacity=Resources(node.cpu_milli, node.ram_mib, node.gpu),
                allocated=Resources(
                    node.allocated_cpu_milli, node.allocated_ram_mib, node.allocated_gpu
                ),
                labels=tuple(sorted(node.labels.items())),
                state=node.effective_state,
            )
        )
    return found
