"""Between the tables and the engine: what is told to the planner, and what is made of its plan.

Apply is a judge, not a copier: each write names the state that it expects and checks how many rows
had it. A shortfall (a stop or a change of request came between) raises StalePlanError; the cycle
rolls back and plans again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from psycopg2.extras import Json

from clusters.models import Cluster
from clusters.services import lock_cluster
from deployments import events
from deployments.models import Deployment, EventType, PriorityClass, Status, WaitReason
from scheduler import engine, queues
from scheduler.engine import snapshot as told
from scheduler.engine.plan import Plan
from scheduler.engine.resources import NOTHING, Resources
from scheduler.sql import CHANGE_WAIT_REASONS, EVICT, QUEUE_HEADS, QUEUE_MEMBERS, START

EVICTABLE = (Status.STARTING, Status.RUNNING)


class StalePlanError(Exception):
    """Rows were no longer as the snapshot had them; nothing of the plan is applied."""


def load_snapshot(cluster_id: UUID) -> engine.Snapshot:
    """Lock the cluster's row and read what the planner needs. Raises Cluster.DoesNotExist.

    Three queries, one more where somebody could start beside the first of their key, one more
    where somebody may have to yield. Rows follow what can start, not how long the queue is: of a
    scheduling key no more are read than could run at once, and one.
    """
    cluster = lock_cluster(cluster_id)
    now = timezone.now()
    policy = told.Policy(
        queueing=cluster.queueing,
        ordering=cluster.ordering,
        preemption=cluster.preemption,
        preempt_exempt_s=cluster.preempt_exempt_s,
        reserve_after_s=cluster.reserve_after_s,
        max_preemptions=cluster.max_preemptions,
    )
    total = Resources(cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu)
    allocated = Resources(
        cluster.allocated_cpu_milli, cluster.allocated_ram_mib, cluster.allocated_gpu
    )
    classes = tuple(
        told.PriorityClass(each.name, each.value, each.may_preempt, each.preemptible)
        for each in PriorityClass.objects.order_by("-value")
    )
    heads = _queue_heads(cluster_id)
    preempting = _preempting_value(cluster, classes, heads)
    room = total if preempting is not None else total.minus(allocated)
    queued = _queued(cluster_id, heads, room)
    needs_victims = not _fits(queued, total.minus(allocated))
    running: Iterable[told.Running] = ()
    if cluster.state == told.DRAINING:
        running = _running(cluster_id)
    elif preempting is not None and needs_victims:
        running = _running(cluster_id, priority_class__value__lt=preempting)
    return engine.Snapshot(
        cluster_id=str(cluster_id),
        state=cluster.state,
        policy=policy,
        total=total,
        allocated=allocated,
        classes=classes,
        nodes=(),
        running=tuple(running),
        queued=queued,
        now_ms=milliseconds(now),
        max_starts=settings.SCHEDULER_MAX_STARTS_PER_CYCLE,
    )


def apply_plan(snapshot: engine.Snapshot, plan: Plan, cycle_id: UUID) -> bool:
    """Make the plan so, inside the caller's transaction; True if anything changed.

    Raises StalePlanError where a row is not as the snapshot had it.
    """
    cluster_id, now = UUID(snapshot.cluster_id), moment(snapshot.now_ms)
    _evict(snapshot, plan, now)
    _start(snapshot, plan, now)
    _count(snapshot, plan, now)
    _record(snapshot, plan, cycle_id, now)
    reasons_changed = _replace_wait_reasons(cluster_id, plan)
    if plan.starts or plan.evictions:
        transaction.on_commit(partial(queues.follow, snapshot, plan))
    return bool(plan.starts or plan.evictions or reasons_changed)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )


# --- Loading ---------------------------------------------------------------------------------


def _queue_heads(cluster_id: UUID) -> list[told.Workload]:
    """The first in line of each scheduling key."""
    with connection.cursor() as cursor:
        cursor.execute(QUEUE_HEADS, {"cluster": cluster_id})
        return [
            told.Workload(
                id=str(id_),
                scheduling_key=key,
                priority=priority,
                request=Resources(cpu_milli, ram_mib, gpu),
                replicas=replicas,
                submitted_ms=milliseconds(created_at),
                queued_ms=milliseconds(queued_at),
            )
            for (
                id_,
                key,
                priority,
                cpu_milli,
                ram_mib,
                gpu,
                replicas,
                created_at,
                queued_at,
            ) in cursor.fetchall()
        ]


def _queued(
    cluster_id: UUID, heads: Sequence[told.Workload], room: Resources
) -> tuple[told.Workload, ...]:
    """The heads, and behind each as many of its key as could start beside it, and one more."""
    head_of = {head.scheduling_key: head for head in heads}
    wanted = [(head.scheduling_key, _most_in(room, head.total)) for head in heads]
    wanted = [(key, most) for key, most in wanted if most > 0]
    if not wanted:
        return tuple(heads)
    keys, most = zip(*wanted, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            QUEUE_MEMBERS, {"cluster": cluster_id, "keys": list(keys), "most": list(most)}
        )
        members = [
            replace(
                head_of[key],
                id=str(id_),
                submitted_ms=milliseconds(created_at),
                queued_ms=milliseconds(queued_at),
            )
            for id_, key, created_at, queued_at in cursor.fetchall()
        ]
    return (*heads, *members)


def _most_in(room: Resources, request: Resources) -> int:
    """How many of one request could start in one cycle."""
    fitting = min(have // want for have, want in zip(room, request, strict=True) if want > 0)
    return max(0, min(fitting, settings.SCHEDULER_MAX_STARTS_PER_CYCLE))


def _preempting_value(
    cluster: Cluster, classes: tuple[told.PriorityClass, ...], heads: Sequence[told.Workload]
) -> int | None:
    """The highest value among the waiting that may evict; None where nobody may."""
    if cluster.preemption != told.LOWER_PRIORITY:
        return None
    waiting = {head.priority for head in heads}
    return max((c.value for c in classes if c.may_preempt and c.name in waiting), default=None)


def _fits(queued: Iterable[told.Workload], free: Resources) -> bool:
    for workload in queued:
        free = free.minus(workload.total)
    return min(free) >= 0


def _running(cluster_id: UUID, **filters: Any) -> list[told.Running]:
    rows: QuerySet[Any, Any] = Deployment.objects.filter(
        cluster_id=cluster_id, status__in=EVICTABLE, **filters
    ).values_list(
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
    )
    return [
        told.Running(
            str(id_),
            name,
            Resources(cpu_milli, ram_mib, gpu),
            replicas,
            tuple(told.Placement(each["node_id"], each["replicas"]) for each in placement),
            milliseconds(started_at) if started_at else None,
            milliseconds(checkpoint_at) if checkpoint_at else None,
            preemptions,
        )
        for (
            id_,
            name,
            cpu_milli,
            ram_mib,
            gpu,
            replicas,
            placement,
            started_at,
            checkpoint_at,
            preemptions,
        ) in rows.iterator(chunk_size=5000)
    ]


# --- Applying --------------------------------------------------------------------------------


def _start(snapshot: engine.Snapshot, plan: Plan, now: datetime) -> None:
    """QUEUED → RUNNING: the simulated runtime needs nobody to be told."""
    if not plan.starts:
        return
    queued = {workload.id: workload for workload in snapshot.queued}
    placements = [
        Json(
            [{"node_id": p.node_id, "node": None, "replicas": p.replicas} for p in start.placement]
        )
        for start in plan.starts
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            START,
            {
                "cluster": snapshot.cluster_id,
                "now": now,
                "ids": [start.workload_id for start in plan.starts],
                "keys": [queued[start.workload_id].scheduling_key for start in plan.starts],
                "placements": placements,
            },
        )
        _expect(cursor.rowcount, len(plan.starts), "start")


def _evict(snapshot: engine.Snapshot, plan: Plan, now: datetime) -> None:
    if not plan.evictions:
        return
    params: dict[str, Any] = {
        "cluster": snapshot.cluster_id,
        "now": now,
        "ids": [eviction.workload_id for eviction in plan.evictions],
        "codes": [eviction.reason.code.value for eviction in plan.evictions],
        "details": [Json(eviction.reason.details) for eviction in plan.evictions],
        "counts": [1 if eviction.by else 0 for eviction in plan.evictions],
    }
    with connection.cursor() as cursor:
        cursor.execute(EVICT, params)
        _expect(cursor.rowcount, len(plan.evictions), "evict")


def _count(snapshot: engine.Snapshot, plan: Plan, now: datetime) -> None:
    """Move the counters by what started less what was evicted, and note that a cycle has looked."""
    queued = {workload.id: workload for workload in snapshot.queued}
    running = {each.id: each for each in snapshot.running}
    more = _sum(queued[start.workload_id].total for start in plan.starts)
    more = more.minus(_sum(running[eviction.workload_id].total for eviction in plan.evictions))
    Cluster.objects.filter(pk=snapshot.cluster_id).update(
        allocated_cpu_milli=F("allocated_cpu_milli") + more.cpu_milli,
        allocated_ram_mib=F("allocated_ram_mib") + more.ram_mib,
        allocated_gpu=F("allocated_gpu") + more.gpu,
        evaluated_at=now,
    )


def _sum(amounts: Iterable[Resources]) -> Resources:
    total = NOTHING
    for amount in amounts:
        total = total.plus(amount)
    return total


def _record(snapshot: engine.Snapshot, plan: Plan, cycle_id: UUID, now: datetime) -> None:
    preempted = [e for e in plan.evictions if e.by]
    drained = [e for e in plan.evictions if not e.by]
    for evictions, kind in ((preempted, EventType.PREEMPTED), (drained, EventType.DRAINED)):
        if evictions:
            lines = [(UUID(e.workload_id), e.reason.details) for e in evictions]
            events.record_all(lines, kind, at=now, cycle_id=cycle_id)
    if plan.starts:
        starts = [
            (UUID(s.workload_id), {"victims": list(s.victims)} if s.victims else {})
            for s in plan.starts
        ]
        events.record_all(starts, EventType.STARTED, at=now, cycle_id=cycle_id)


def _replace_wait_reasons(cluster_id: UUID, plan: Plan) -> bool:
    """Write what is new, change what differs, drop what no longer holds; True if anything did."""
    old = {
        (row.scheduling_key, row.deployment_id): row
        for row in WaitReason.objects.filter(cluster_id=cluster_id)
    }
    fresh, differing = [], []
    for wait in plan.waits:
        key = (wait.scheduling_key, UUID(wait.workload_id) if wait.workload_id else None)
        row = old.pop(key, None)
        if row is None:
            fresh.append(
                WaitReason(
                    cluster_id=cluster_id,
                    scheduling_key=key[0],
                    deployment_id=key[1],
                    code=wait.reason.code,
                    details=wait.reason.details,
                )
            )
        elif (row.code, row.details) != (wait.reason.code, wait.reason.details):
            row.code, row.details = wait.reason.code, wait.reason.details
            differing.append(row)
    if old:
        WaitReason.objects.filter(pk__in=[row.pk for row in old.values()]).delete()
    if fresh:
        WaitReason.objects.bulk_create(fresh, batch_size=1000)
    if differing:
        _change_wait_reasons(differing)
    return bool(old or fresh or differing)


def _change_wait_reasons(rows: Sequence[WaitReason]) -> None:
    """In one plain statement: the CASE of bulk_update took half of a cycle's time."""
    with connection.cursor() as cursor:
        cursor.execute(
            CHANGE_WAIT_REASONS,
            {
                "ids": [row.pk for row in rows],
                "codes": [str(row.code) for row in rows],
                "details": [Json(row.details) for row in rows],
            },
        )


def _expect(changed: int, expected: int, action: str) -> None:
    if changed != expected:
        raise StalePlanError(
            f"{action}: {changed} of {expected} rows were as the snapshot had them"
        )
