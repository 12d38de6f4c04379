"""From a plan to the tables.

Apply is a judge, not a copier: each write names the state that it expects and checks how many rows
had it. A shortfall (a stop or a change of request came between) raises StalePlanError; the cycle
rolls back and plans again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from psycopg2.extras import Json

from clusters.allocation import AllocationChange, move
from clusters.models import Cluster
from deployments import wakeup
from deployments.lifecycle import dependents, timeline
from deployments.models import EventType, Status, WaitReason
from deployments.names import CALLED
from deployments.reasons.retries import ENDED_BY, ON_PREEMPT
from mlops_platform.api.ids import moment
from scheduler.engine import Plan, Snapshot
from scheduler.queues import queue_sync
from scheduler.store.drained import drained_details
from scheduler.store.reservation_history import remember
from scheduler.store.sql import CHANGE_WAIT_REASONS, EVICT, START


class StalePlanError(Exception):
    """Rows were no longer as the snapshot had them; nothing of the plan is applied."""


def apply_plan(snapshot: Snapshot, plan: Plan, cycle_id: UUID, cluster: Cluster) -> bool:
    """Write the plan, inside the caller's transaction, which has locked the cluster; True if
    anything changed.

    Raises StalePlanError where a row is not as the snapshot had it.
    """
    cluster_id, now = cluster.pk, moment(snapshot.now_ms)
    drains = any(not each.by for each in plan.evictions)
    drained = drained_details(snapshot, plan) if drains else {}
    evicted = _evict(snapshot, plan, now, drained) if plan.evictions else []
    started = _start(snapshot, plan, now) if plan.starts else []
    concerns_runtime = any(row.status != Status.RUNNING for row in started)
    concerns_runtime |= any(row.status == Status.STOPPING for row in evicted)
    move({cluster_id: _allocation_change(snapshot, plan, evicted)}, evaluated_at=now)
    at = {row.id: row.at for row in started}
    _record(snapshot, plan, cycle_id, cluster, at, evicted=evicted, drained=drained)
    if failed := [row for row in evicted if row.status == Status.FAILED]:
        _fail_for_good(snapshot, plan, cycle_id, cluster, failed)
    explained = _replace_wait_reasons(cluster_id, plan)
    if plan.reserved_for or snapshot.reservation_history:
        explained |= remember(snapshot, plan)
    if plan.starts or plan.evictions:
        back = frozenset(row.id for row in evicted if row.status == Status.QUEUED)
        transaction.on_commit(partial(queue_sync.follow, snapshot, plan, back))
    if concerns_runtime:
        transaction.on_commit(partial(wakeup.request, cluster_id))
    return bool(plan.starts or plan.evictions or explained)


class _Evicted(NamedTuple):
    """An evicted row: in a simulated cluster it waits again or has failed, elsewhere it has to stop
    first."""

    id: str
    status: str
    yielded: bool
    preemptor: Mapping[str, str]
    """What its preemptor is called, as details have it: history says so once that one is gone."""
    name: str
    owner: str


class _Started(NamedTuple):
    id: UUID
    status: str
    at: datetime


def _start(snapshot: Snapshot, plan: Plan, now: datetime) -> list[_Started]:
    """QUEUED → RUNNING where that is simulated, else → STARTING: then a runtime has to act."""
    keys = {workload.id: workload.scheduling_key for workload in snapshot.queued}
    names: dict[str | None, str] = {node.id: node.name for node in snapshot.nodes}
    placements = [
        Json(
            [
                {"node_id": p.node_id, "node": names.get(p.node_id), "replicas": p.replicas}
                for p in start.placement
            ]
        )
        for start in plan.starts
    ]
    params: dict[str, Any] = {
        "cluster": snapshot.cluster_id,
        "now": now,
        "ids": [start.workload_id for start in plan.starts],
        "keys": [keys[start.workload_id] for start in plan.starts],
        "placements": placements,
        "cpus": [start.given and start.given.cpu_milli for start in plan.starts],
        "rams": [start.given and start.given.ram_mib for start in plan.starts],
        "gpus": [None if start.given is None else start.given.gpu for start in plan.starts],
    }
    with connection.cursor() as cursor:
        cursor.execute(START, params)
        _expect(cursor.rowcount, len(plan.starts), "start")
        return [_Started(*row) for row in cursor.fetchall()]


def _evict(
    snapshot: Snapshot, plan: Plan, now: datetime, drained: Mapping[str, Mapping[str, Any]]
) -> list[_Evicted]:
    """`drained`: the details of those that leave for a drain, by id."""
    params: dict[str, Any] = {
        "cluster": snapshot.cluster_id,
        "now": now,
        "ids": [eviction.workload_id for eviction in plan.evictions],
        "codes": [eviction.reason.code.value for eviction in plan.evictions],
        "details": [
            Json(drained.get(eviction.workload_id, eviction.reason.details))
            for eviction in plan.evictions
        ],
        "counts": [1 if eviction.by else 0 for eviction in plan.evictions],
    }
    with connection.cursor() as cursor:
        cursor.execute(EVICT, params)
        _expect(cursor.rowcount, len(plan.evictions), "evict")
        return [
            _Evicted(id_, status, yielded, json.loads(preemptor), name, owner)
            for id_, status, yielded, preemptor, name, owner in cursor.fetchall()
        ]


def _allocation_change(snapshot: Snapshot, plan: Plan, evicted: list[_Evicted]) -> AllocationChange:
    """By how much the counters move: what started less what gave its capacity back."""
    change = AllocationChange()
    keep = {row.id for row in evicted if row.status == Status.STOPPING and not row.yielded}
    queued = {workload.id: workload for workload in snapshot.queued}
    running = {each.id: each for each in snapshot.running}
    for start in plan.starts:
        request = start.given or queued[start.workload_id].request
        for place in start.placement:
            change.add(place.node_id, request.times(place.replicas))
    for eviction in plan.evictions:
        if eviction.workload_id in keep:
            continue
        victim = running[eviction.workload_id]
        for place in victim.placement:
            change.add(place.node_id, victim.request.times(-place.replicas))
    return change


def _record(
    snapshot: Snapshot,
    plan: Plan,
    cycle_id: UUID,
    cluster: Cluster,
    started: Mapping[UUID, datetime],
    *,
    evicted: Sequence[_Evicted],
    drained: Mapping[str, Mapping[str, Any]],
) -> None:
    now = moment(snapshot.now_ms)
    by = {row.id: row.preemptor for row in evicted}
    names = {row.id: CALLED.format(row.name, row.owner) for row in evicted if row.name}
    preempted: list[tuple[UUID, Mapping[str, Any]]] = [
        (UUID(e.workload_id), {**e.reason.details, **by[e.workload_id]})
        for e in plan.evictions
        if e.by
    ]
    left = [(UUID(id_), details) for id_, details in drained.items()]
    for lines, kind in ((preempted, EventType.PREEMPTED), (left, EventType.DRAINED)):
        if lines:
            timeline.record_all(lines, kind, at=now, cycle_id=cycle_id, cluster=cluster)
    if plan.starts:
        starts: list[tuple[UUID, dict[str, Any]]] = [
            (
                UUID(start.workload_id),
                ({"victims": list(start.victims)} if start.victims else {})
                | (
                    {"victim_names": [names[each] for each in start.victims]}
                    if start.victims and names.keys() >= set(start.victims)
                    else {}
                )
                | ({"by_image": True} if start.by_image else {}),
            )
            for start in plan.starts
        ]
        kind = EventType.STARTED
        timeline.record_all(starts, kind, at=started, cycle_id=cycle_id, cluster=cluster)


def _fail_for_good(
    snapshot: Snapshot,
    plan: Plan,
    cycle_id: UUID,
    cluster: Cluster,
    failed: Collection[_Evicted],
) -> None:
    """Records the ends of victims that do not wait again, and fails their dependents."""
    now, note = moment(snapshot.now_ms), {ENDED_BY: ON_PREEMPT}
    by = {row.id: row.preemptor for row in failed}
    lines = [
        (
            UUID(each.workload_id),
            {"code": each.reason.code, **each.reason.details, **by[each.workload_id], **note},
        )
        for each in plan.evictions
        if each.workload_id in by
    ]
    timeline.record_all(lines, EventType.FAILED, at=now, cycle_id=cycle_id, cluster=cluster)
    dependents.update_dependents({id_: now for id_, _ in lines}, Status.FAILED)


def _replace_wait_reasons(cluster_id: UUID, plan: Plan) -> bool:
    """Write the reasons that are new, change those that differ, drop the others; True if any is new
    or differs."""
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
        _change(differing)
    return bool(fresh or differing)


def _change(rows: list[WaitReason]) -> None:
    """One plain statement: bulk_update would build a CASE as long as the list."""
    params: dict[str, Any] = {
        "ids": [row.pk for row in rows],
        "codes": [str(row.code) for row in rows],
        "details": [Json(row.details) for row in rows],
    }
    with connection.cursor() as cursor:
        cursor.execute(CHANGE_WAIT_REASONS, params)


def _expect(changed: int, expected: int, action: str) -> None:
    if changed != expected:
        raise StalePlanError(f"{action}: {changed} of {expected} rows were as expected")
