"""From the tables to a snapshot: a fixed number of queries, rows that follow what can start."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from clusters.models import Cluster, Node
from clusters.services import lock_cluster
from deployments.models import Deployment, PriorityClass, Status
from scheduler.engine import Snapshot, make_plan
from scheduler.engine import snapshot as told
from scheduler.engine.resources import Resources
from scheduler.store.sql import QUEUE_HEADS, QUEUE_MEMBERS
from scheduler.store.times import milliseconds

EVICTABLE = (Status.STARTING, Status.RUNNING)


def load_snapshot(cluster_id: UUID) -> Snapshot:
    """Lock the cluster's row and read what the planner needs. Raises Cluster.DoesNotExist.

    The plan is that of the whole queue with everybody who runs; rows are read as they turn out to
    matter. First, of each scheduling key, as many as free capacity could take (for classes that may
    preempt: as many as could ever run), and one: four queries, five where that is more than one.
    Then who runs, where somebody waits who may evict them or whose turn depends on their ends. Last
    the rest of the queue, where victims may free more than their preemptors need.
    """
    snapshot = _empty(lock_cluster(cluster_id))
    heads = _queue_heads(cluster_id)
    preempting = _preempting(snapshot)
    free = snapshot.total.minus(snapshot.allocated)
    rooms = {
        head.scheduling_key: snapshot.total if head.priority in preempting else free
        for head in heads
    }
    snapshot = replace(snapshot, queued=_queued(cluster_id, heads, rooms))
    snapshot = replace(snapshot, running=_running_for(snapshot, preempting))
    fillers = any(head.priority not in preempting for head in heads)
    if snapshot.running and fillers and make_plan(snapshot).evictions:
        everything = dict.fromkeys(rooms, snapshot.total)
        snapshot = replace(snapshot, queued=_queued(cluster_id, heads, everything))
    return snapshot


def read_snapshot(cluster_id: UUID, *, only_heads: bool = False, lock: bool = False) -> Snapshot:
    """Everything as it is: for questions. Raises Cluster.DoesNotExist.

    All that run are in it, and of each scheduling key as many as could ever run at once;
    `only_heads` takes the first of each, who speak for the rest once a cycle has looked. Without
    `lock` it holds up nobody, and is of one moment in a REPEATABLE READ transaction.
    """
    found = lock_cluster(cluster_id) if lock else Cluster.objects.get(pk=cluster_id)
    snapshot = _empty(found)
    heads = _queue_heads(cluster_id)
    rooms = {head.scheduling_key: snapshot.total for head in heads}
    queued = tuple(heads) if only_heads else _queued(cluster_id, heads, rooms)
    return replace(snapshot, queued=queued, running=_running(snapshot.cluster_id))


def see_one_moment() -> None:
    """First in a transaction: nothing that commits meanwhile is seen, nothing can be written.

    Does nothing where an outer transaction has begun already.
    """
    if not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _empty(cluster: Cluster) -> Snapshot:
    """The cluster without its workloads."""
    return Snapshot(
        cluster_id=str(cluster.pk),
        state=cluster.state,
        policy=policy_of(cluster),
        total=Resources(cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu),
        allocated=Resources(
            cluster.allocated_cpu_milli, cluster.allocated_ram_mib, cluster.allocated_gpu
        ),
        classes=tuple(
            told.PriorityClass(each.name, each.value, each.may_preempt, each.preemptible)
            for each in PriorityClass.objects.order_by("-value")
        ),
        nodes=_nodes(cluster.pk),
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


def _nodes(cluster_id: UUID) -> tuple[told.Node, ...]:
    return tuple(
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
        for node in Node.objects.filter(cluster_id=cluster_id).order_by("pk")
    )


# --- The queue -------------------------------------------------------------------------------


def _queue_heads(cluster_id: UUID) -> list[told.Workload]:
    """The first in line of each scheduling key."""
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_HEADS, {"cluster": cluster_id})
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        told.Workload(
            id=row["id"],
            scheduling_key=row["scheduling_key"],
            priority=row["priority"],
            request=Resources(row["cpu_milli"], row["ram_mib"], row["gpu"]),
            replicas=row["replicas"],
            submitted_ms=row["submitted_ms"],
            queued_ms=row["queued_ms"],
            selector=tuple(sorted(json.loads(row["node_selector"]).items())),
            limit_s=row["max_runtime_s"],
        )
        for row in rows
    ]


def _queued(
    cluster_id: UUID, heads: Sequence[told.Workload], rooms: Mapping[str, Resources]
) -> tuple[told.Workload, ...]:
    """The heads, and behind each as many as its key's room could take beside it, and one more."""
    head_of = {head.scheduling_key: head for head in heads}
    wanted = [
        (head.scheduling_key, _most_in(rooms[head.scheduling_key], head.total)) for head in heads
    ]
    wanted = [(key, most) for key, most in wanted if most > 0]
    if not wanted:
        return tuple(heads)
    keys, most = zip(*wanted, strict=True)
    params: dict[str, Any] = {
        "cluster": cluster_id,
        "keys": list(keys),
        "heads": [head_of[key].id for key in keys],
        "most": list(most),
    }
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_MEMBERS, params)
        rows = cursor.fetchall()
    members = []
    for id_, key, submitted_ms, queued_ms in rows:
        head = head_of[key]
        members.append(
            told.Workload(
                id_,
                key,
                head.priority,
                head.request,
                head.replicas,
                submitted_ms,
                queued_ms,
                head.selector,
                head.limit_s,
            )
        )
    return (*heads, *members)


def _most_in(room: Resources, request: Resources) -> int:
    """How many of one request could start in one cycle."""
    return min(request.count_in(room), settings.SCHEDULER_MAX_STARTS_PER_CYCLE)


# --- Who runs --------------------------------------------------------------------------------


def _preempting(snapshot: Snapshot) -> frozenset[str]:
    """The names of the classes that may evict here."""
    if snapshot.policy.preemption != told.LOWER_PRIORITY:
        return frozenset()
    return frozenset(each.name for each in snapshot.classes if each.may_preempt)


def _running_for(snapshot: Snapshot, preempting: frozenset[str]) -> tuple[told.Running, ...]:
    """Those whose end or eviction could matter to the plan; most often nobody."""
    draining = any(node.state == told.DRAINING for node in snapshot.nodes)
    if draining or snapshot.state == told.DRAINING:
        return _running(snapshot.cluster_id)
    waiting = {workload.priority for workload in snapshot.queued}
    values = [c.value for c in snapshot.classes if c.name in waiting and c.name in preempting]
    ends_matter = _ends_matter(snapshot)
    if not snapshot.queued or snapshot.state != told.ACTIVE or not (ends_matter or values):
        return ()
    if len(make_plan(snapshot).starts) == len(snapshot.queued):
        return ()  # everybody fits, so nobody has to yield and no end matters
    if ends_matter:
        return _running(snapshot.cluster_id)
    return _running(snapshot.cluster_id, priority_class__value__lt=max(values))


def _ends_matter(snapshot: Snapshot) -> bool:
    """Whether somebody is promised a start, or has waited so long that capacity is held for it."""
    if snapshot.policy.queueing == told.EASY_BACKFILL:
        return True
    since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    waited = any(workload.queued_ms <= since_ms for workload in snapshot.queued)
    return waited and snapshot.policy.queueing != told.STRICT


def _running(cluster_id: str, **filters: Any) -> tuple[told.Running, ...]:
    columns = (
        "id",
        "priority_class__name",
        "cpu_milli",
        "ram_mib",
        "gpu",
        "replicas",
        "placement",
        "started_at",
        "checkpoint_at",
        "preemption_count",
        "max_runtime_s",
    )
    rows = Deployment.objects.filter(cluster_id=cluster_id, status__in=EVICTABLE, **filters)
    return tuple(
        told.Running(
            id=str(row["id"]),
            priority=row["priority_class__name"],
            request=Resources(row["cpu_milli"], row["ram_mib"], row["gpu"]),
            replicas=row["replicas"],
            placement=tuple(
                told.Placement(each["node_id"], each["replicas"]) for each in row["placement"]
            ),
            started_ms=_when(row["started_at"]),
            checkpoint_ms=_when(row["checkpoint_at"]),
            preemptions=row["preemption_count"],
            ends_ms=_when(_end(row["started_at"], row["max_runtime_s"])),
        )
        for row in rows.values(*columns).iterator(chunk_size=5000)
    )


def _when(at: datetime | None) -> int | None:
    return milliseconds(at) if at is not None else None


def _end(started_at: datetime | None, max_runtime_s: int | None) -> datetime | None:
    if started_at is None or max_runtime_s is None:
        return None
    return started_at + timedelta(seconds=max_runtime_s)
