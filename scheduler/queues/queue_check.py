"""Looks for Redis queues that are wrong, also where no cycle does: in a cluster without a queued
deployment, or where Redis came back from an older snapshot.

A look compares the lengths of some clusters' queues with the table, the next look those of the next
clusters. Where Redis is another server than at the last look, or has lost what it knew, one look
compares all of them; and as equal lengths may belong to other members then, the following looks
rebuild every queue, some at a time.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from uuid import UUID

from django.db.models import Count
from redis.exceptions import ResponseError

from clusters.models import Cluster
from deployments import redis_queues
from deployments.models import Deployment, PriorityClass, Status
from mlops_platform.coordination.redis import redis_client
from scheduler.queues import queue_sync

AT_ONCE = 500  # clusters that a look compares
REBUILDING_S = 0.3  # of a look, at most
SEEN_SERVER = "queues:server"  # the run id of the server whose queues are right or in UNCHECKED
UNCHECKED = "queues:unchecked"  # the clusters whose queues are to be rebuilt
LAST = "queues:last"  # the last cluster of the last look


def check_some() -> None:
    """One look. Two queries and four round trips where all is well. Raises RedisError while Redis
    is away."""
    server = _server()
    if redis_client().get(SEEN_SERVER) != server:
        _compare_all()
        for ids in _clusters_with_queues():
            redis_client().sadd(UNCHECKED, *ids)
        redis_client().set(SEEN_SERVER, server)
    else:
        _compare_next()
    _rebuild_some()


def _server() -> str:
    """Of this very process: a restart, an older snapshot and a failover all change it."""
    try:
        return str(redis_client().info("server")["run_id"])
    except (ResponseError, KeyError):  # a service that does not say
        return "unknown"


def _compare_all() -> None:
    last: UUID | None = None
    while (last := _compare(last)) is not None:
        pass


def _compare_next() -> None:
    found = redis_client().get(LAST)
    last = _compare(UUID(str(found)) if found else None)
    if last is None:
        redis_client().delete(LAST)
    else:
        redis_client().set(LAST, str(last))


def _compare(after: UUID | None) -> UUID | None:
    """Mend the wrong ones of the clusters behind this one; the last of them, None at the end."""
    clusters = Cluster.objects.order_by("pk")
    if after is not None:
        clusters = clusters.filter(pk__gt=after)
    ids = list(clusters.values_list("pk", flat=True)[:AT_ONCE])
    if not ids:
        return None
    names = list(PriorityClass.objects.values_list("name", flat=True))
    lengths = redis_queues.lengths_of(ids, names)
    waiting = _waiting(ids)
    for cluster_id, found in lengths.items():
        if {name: count for name, count in found.items() if count} != waiting.get(cluster_id, {}):
            queue_sync.mend(cluster_id)
    return ids[-1] if len(ids) == AT_ONCE else None


def _waiting(cluster_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """The number of queued deployments of each cluster by class, where there are any."""
    rows = Deployment.objects.filter(cluster__in=cluster_ids, status=Status.QUEUED).order_by()
    counted = rows.values_list("cluster_id", "priority_class__name").annotate(Count("id"))
    found: dict[UUID, dict[str, int]] = {}
    for cluster_id, name, count in counted:
        found.setdefault(cluster_id, {})[name] = count
    return found


def _clusters_with_queues() -> Iterable[list[str]]:
    """In Redis or in the table, or in both, some at a time."""
    page: set[str] = set()
    for key in redis_client().scan_iter(match="cluster:*:queue:*", count=1000):
        page.add(str(key).split(":")[1])
        if len(page) >= AT_ONCE:
            yield list(page)
            page.clear()
    queued = Deployment.objects.filter(status=Status.QUEUED).order_by()
    page.update(map(str, queued.values_list("cluster_id", flat=True).distinct()))
    if page:
        yield list(page)


def _rebuild_some() -> None:
    until = time.monotonic() + REBUILDING_S
    names = list(PriorityClass.objects.values_list("name", flat=True))
    while time.monotonic() < until:
        found = redis_client().srandmember(UNCHECKED)
        if found is None:
            return
        with suppress(ValueError):  # a key that is not the platform's
            cluster_id = UUID(str(found))
            if Cluster.objects.filter(pk=cluster_id).exists():
                if not queue_sync.mend(cluster_id, thoroughly=True):
                    return  # written to meanwhile: the next look tries again
            else:  # deleted while Redis was away
                redis_queues.forget(cluster_id, names)
        redis_client().srem(UNCHECKED, str(found))
