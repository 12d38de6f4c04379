"""Keeps the Redis queues in step with the table, which is the truth: a Redis away is no error."""

import logging
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from django.db.models import Count
from redis.exceptions import RedisError

from clusters.models import Cluster
from deployments import redis_queues
from deployments.models import Deployment, PriorityClass, Status
from scheduler.engine.order import policy_key
from scheduler.engine.plan import Plan
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot

logger = logging.getLogger(__name__)


def enter(deployments: Iterable[Deployment]) -> None:
    """New deployments take their places; the next cycle mends what Redis did not take.

    One round trip for each cluster.
    """
    by_cluster: dict[UUID, list[Deployment]] = {}
    for row in deployments:
        by_cluster.setdefault(row.cluster_id, []).append(row)
    try:
        for rows in by_cluster.values():
            _put(rows)
    except RedisError as error:
        _later(error)


def refresh(cluster_id: UUID, deployment_ids: Iterable[UUID]) -> None:
    """Those that left the queue, or changed class or request in it, go where they belong."""
    ids = list(deployment_ids)
    try:
        redis_queues.leave(cluster_id, [(name, id_) for name in _class_names() for id_ in ids])
        rows = Deployment.objects.filter(pk__in=ids, status=Status.QUEUED)
        _put(list(rows.select_related("cluster", "priority_class")))
    except RedisError as error:
        _later(error)


def follow(snapshot: Snapshot, plan: Plan, back: frozenset[str]) -> None:
    """After a plan's commit: the admitted leave, and those of the evicted who wait already come
    back to their old places."""
    cluster_id = UUID(snapshot.cluster_id)
    queued = {workload.id: workload for workload in snapshot.queued}
    running = {each.id: each for each in snapshot.running}
    started = [queued[start.workload_id] for start in plan.starts]
    evicted = [running[each.workload_id] for each in plan.evictions if each.workload_id in back]
    ordering, total = snapshot.policy.ordering, snapshot.total
    try:
        redis_queues.leave(cluster_id, [(w.priority, UUID(w.id)) for w in started])
        redis_queues.enter(
            cluster_id,
            [(r.priority, UUID(r.id), -policy_key(ordering, r.total, total)) for r in evicted],
        )
    except RedisError as error:
        _later(error)


def due_for_a_look(cluster_id: UUID) -> bool:
    """Whether the queues may be compared with the table again: counting a long queue costs more,
    so it is done the more rarely, at most a thousandth of the time for each thousand waiting.
    """
    names = _class_names()
    waiting = sum((redis_queues.lengths(cluster_id, names) or {}).values())
    try:
        return redis_queues.look(cluster_id, every_s=waiting // 1000)
    except RedisError as error:
        _later(error)
        return False


def mend(cluster_id: UUID, *, thoroughly: bool = False) -> bool:
    """Rebuild the cluster's queues where their sizes or scores are off; True if it did.

    A stop and a submit that both missed Redis leave the sizes right and the members wrong, which
    only a rebuild can tell: `thoroughly` does it in any case.
    """
    cluster = Cluster.objects.filter(pk=cluster_id).first()
    if cluster is None:
        return False
    names = _class_names()
    try:
        if not thoroughly and _seem_right(cluster, names):
            return False
        return rebuild(cluster, names)
    except RedisError as error:
        _later(error)
        return False


def _seem_right(cluster: Cluster, names: list[str]) -> bool:
    expected = dict.fromkeys(names, 0) | dict(
        Deployment.objects.filter(cluster=cluster, status=Status.QUEUED)
        .values_list("priority_class__name")
        .annotate(Count("id"))
        .order_by()
    )
    lengths, signature = redis_queues.lengths(cluster.pk, names), redis_queues.signature(cluster.pk)
    return lengths == expected and signature == _signature(cluster)


def rebuild(cluster: Cluster, names: list[str]) -> bool:
    """Write all of a cluster's queues anew from the table.

    False where somebody wrote to them meanwhile, which rings the bell: the next cycle mends them.
    """
    return redis_queues.rebuild(cluster.pk, names, partial(_line, cluster), _signature(cluster))


def _line(cluster: Cluster) -> dict[str, list[tuple[UUID, int]]]:
    """(deployment id, policy score) of all that wait, by class."""
    rows = (
        Deployment.objects.filter(cluster=cluster, status=Status.QUEUED)
        .values_list("id", "priority_class__name", "cpu_milli", "ram_mib", "gpu", "replicas")
        .iterator(chunk_size=5000)
    )
    line: dict[str, list[tuple[UUID, int]]] = {}
    total = _total(cluster)
    for id_, name, cpu_milli, ram_mib, gpu, replicas in rows:
        request = Resources(cpu_milli, ram_mib, gpu).times(replicas)
        line.setdefault(name, []).append((id_, -policy_key(cluster.ordering, request, total)))
    return line


def _put(deployments: list[Deployment]) -> None:
    """Rows of one cluster."""
    if deployments:
        cluster = deployments[0].cluster
        redis_queues.enter(
            cluster.pk, [(d.priority_class.name, d.pk, score_of(cluster, d)) for d in deployments]
        )


def score_of(cluster: Cluster, row: Deployment) -> int:
    """What orders a row within its class; larger goes first."""
    request = Resources(row.cpu_milli, row.ram_mib, row.gpu).times(row.replicas)
    return -policy_key(cluster.ordering, request, _total(cluster))


def _class_names() -> list[str]:
    return list(PriorityClass.objects.order_by("-value").values_list("name", flat=True))


def _total(cluster: Cluster) -> Resources:
    return Resources(cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu)


def _signature(cluster: Cluster) -> str:
    """What the scores depend on: computed under another signature, they are off."""
    total = _total(cluster)
    return f"{cluster.ordering}/{total.cpu_milli}/{total.ram_mib}/{total.gpu}"


def _later(error: RedisError) -> None:
    logger.warning("queues not updated: redis is away", extra={"error": str(error)})
