"""Keeps the Redis queues equal to the table, which is the truth. Without Redis nothing fails: a
later cycle repairs the queues."""

import logging
from collections.abc import Iterable
from functools import partial
from typing import Protocol
from uuid import UUID

from django.db.models import Count
from redis.exceptions import RedisError

from clusters.models import Cluster
from deployments import redis_queues
from deployments.models import Deployment, PriorityClass, Status
from scheduler.engine.plan import Plan
from scheduler.engine.queue.order import policy_key
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot

logger = logging.getLogger(__name__)

RULES = 2  # raised when score_of changes: queues of earlier versions are rebuilt


def enter(deployments: Iterable[Deployment]) -> None:
    """Add queued deployments to their queues. One round trip for each cluster."""
    entries: dict[UUID, list[tuple[str, UUID, int]]] = {}
    for row in deployments:
        entry = (row.priority_class.name, row.pk, score_of(row.cluster, row))
        entries.setdefault(row.cluster_id, []).append(entry)
    try:
        for cluster_id, members in entries.items():
            redis_queues.enter(cluster_id, members)
    except RedisError as error:
        _log_away(error)


def refresh(cluster_id: UUID, deployment_ids: Iterable[UUID]) -> None:
    """Remove these deployments from all queues, and add those that are queued, with the class and
    the request that they have now."""
    ids = list(deployment_ids)
    try:
        redis_queues.leave(cluster_id, [(name, id_) for name in _class_names() for id_ in ids])
    except RedisError as error:
        _log_away(error)
    else:
        rows = Deployment.objects.filter(pk__in=ids, status=Status.QUEUED)
        enter(rows.select_related("cluster", "priority_class"))


def follow(snapshot: Snapshot, plan: Plan, requeued: frozenset[str]) -> None:
    """After a plan's commit, remove the workloads that it started and add those of its victims that
    wait again already, at the places that their submit times give them."""
    cluster_id = UUID(snapshot.cluster_id)
    queued = {workload.id: workload for workload in snapshot.queued}
    running = {each.id: each for each in snapshot.running}
    started = [queued[start.workload_id] for start in plan.starts]
    evicted = [running[each.workload_id] for each in plan.evictions if each.workload_id in requeued]
    ordering, total = snapshot.policy.ordering, snapshot.total
    try:
        redis_queues.leave(cluster_id, [(w.priority, UUID(w.id)) for w in started])
        if evicted:
            scored = ((r, -policy_key(ordering, r.total, total)) for r in evicted)
            redis_queues.enter(cluster_id, [(r.priority, UUID(r.id), score) for r, score in scored])
    except RedisError as error:
        _log_away(error)


def is_check_due(cluster_id: UUID) -> bool:
    """Whether the queues may be compared with the table again. With N thousand queued deployments
    that is once in N seconds, because the count of a longer queue costs more.
    """
    names = _class_names()
    waiting = sum((redis_queues.lengths(cluster_id, names) or {}).values())
    try:
        return redis_queues.claim_check(cluster_id, every_s=waiting // 1000)
    except RedisError as error:
        _log_away(error)
        return False


def mend(cluster_id: UUID, *, thoroughly: bool = False) -> bool:
    """Rebuild the cluster's queues from the table where their lengths or scores are wrong; True
    where it did. Queues that were written to meanwhile stay as they are: the change that wrote to
    them wakes the scheduler, and the next cycle repairs them.

    A stop and a submit that both missed Redis leave the lengths right and the members wrong, which
    no comparison finds: `thoroughly` rebuilds the queues in any case.
    """
    cluster = Cluster.objects.filter(pk=cluster_id).first()
    if cluster is None:
        return False
    names, signature = _class_names(), _signature(cluster)
    try:
        if not thoroughly:
            waiting = Deployment.objects.filter(cluster=cluster, status=Status.QUEUED).order_by()
            counts = waiting.values_list("priority_class__name").annotate(Count("id"))
            lengths = redis_queues.lengths(cluster.pk, names)
            right = lengths == dict.fromkeys(names, 0) | dict(counts)
            if right and redis_queues.signature(cluster.pk) == signature:
                return False
        return redis_queues.rebuild(cluster.pk, names, partial(_members, cluster), signature)
    except RedisError as error:
        _log_away(error)
        return False


def _members(cluster: Cluster) -> dict[str, list[tuple[UUID, int]]]:
    """(deployment id, policy score) of all queued deployments, by class."""
    queued = Deployment.objects.filter(cluster=cluster, status=Status.QUEUED)
    columns = ("id", "priority_class__name", "cpu_milli", "ram_mib", "gpu", "replicas")
    members: dict[str, list[tuple[UUID, int]]] = {}
    for row in queued.values_list(*columns, named=True).iterator(chunk_size=5000):
        members.setdefault(row.priority_class__name, []).append((row.id, score_of(cluster, row)))
    return members


class _Request(Protocol):
    """The columns of a deployment that its score depends on."""

    cpu_milli: int
    ram_mib: int
    gpu: int
    replicas: int


def score_of(cluster: Cluster, row: _Request) -> int:
    """Orders a deployment within its class; larger goes first. What asks for more than the cluster
    has stands at the end of the line."""
    count = row.replicas
    request = Resources(row.cpu_milli * count, row.ram_mib * count, row.gpu * count)
    total = Resources(cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu)
    if any(asked > has for asked, has in zip(request, total, strict=True)):
        return redis_queues.NEVER
    return -policy_key(cluster.ordering, request, total)


def _class_names() -> list[str]:
    return list(PriorityClass.objects.order_by("-value").values_list("name", flat=True))


def _signature(cluster: Cluster) -> str:
    """All that the scores depend on: scores of another signature are wrong."""
    totals = (cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu)
    return "/".join(map(str, (cluster.ordering, *totals, RULES)))


def _log_away(error: RedisError) -> None:
    logger.warning("queues not updated: redis is away", extra={"error": str(error)})
