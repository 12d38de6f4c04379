"""Reads allocations: of each running deployment that could be evicted, and of owners in all, with
their quotas."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q

from clusters.models import Quota, Runtime
from deployments.models import Deployment, Kind, Status
from deployments.queries import allocations
from deployments.queries.sweeps import limits_in
from mlops_platform.api.ids import milliseconds
from scheduler.engine import snapshot as engine
from scheduler.engine.resources import ENDLESS, Resources

EVICTABLE = (Status.STARTING, Status.RUNNING)


Amounts = tuple[tuple[str, Resources], ...]  # by owner, sorted


def allocated_in(cluster_ids: Collection[UUID]) -> dict[UUID, Amounts]:
    """The sum of each owner's allocations in each cluster. One query, none for no cluster."""
    return {
        cluster: tuple((str(owner), Resources(*amount)) for owner, amount in by_owner.items())
        for cluster, by_owner in allocations.allocated_in(cluster_ids).items()
    }


def quotas_in(cluster_ids: Collection[UUID]) -> dict[UUID, Amounts]:
    """What each owner may have allocated in each cluster. One query, none for no cluster."""
    columns = ("cluster_id", "user_id", "max_cpu_milli", "max_ram_mib", "max_gpu")
    rows = Quota.objects.filter(cluster__in=cluster_ids).order_by(
        F("user_id").asc(nulls_first=True)
    )
    found: dict[UUID, Amounts] = defaultdict(tuple)
    for cluster, user, *limits in rows.values_list(*columns):
        limit = Resources(*(ENDLESS if most is None else most for most in limits))
        found[cluster] += ((engine.DEFAULT_QUOTA if user is None else str(user), limit),)
    return found


def sweeps_in(cluster_ids: Collection[UUID]) -> dict[UUID, tuple[engine.SweepLimit, ...]]:
    """The sweeps with a limit of which a member waits, by id, in each cluster. One query."""
    found: dict[UUID, tuple[engine.SweepLimit, ...]] = defaultdict(tuple)
    for cluster, sweep, limit, allocated in limits_in(cluster_ids):
        found[cluster] += (engine.SweepLimit(str(sweep), limit, allocated),)
    return found


def running_in(
    snapshot: engine.Snapshot, *, most: int | None = None, **filters: Any
) -> tuple[engine.Running, ...]:
    """The running deployments of the snapshot's cluster that could be evicted, at most `most`, and
    where preemptors wait for ends (`preemption_delay_s`), those that are stopping. One query."""
    columns: tuple[str, ...] = (
        "id",
        "priority_class__name",
        "cpu_milli",
        "ram_mib",
        "gpu",
        "replicas",
        "placement",
        "admitted_at",
        "started_at",
        "checkpoint_at",
        "preemption_count",
        "max_runtime_s",
        "owner_id",
        "sweep_id",
        "kind",
        "simulated_runtime_s",
        "status",
        "stop_by",
        "grace_s",
    )
    by_owner, wait_for_ends = snapshot.by_owner, snapshot.policy.preemption_delay_s > 0
    placed = Q(status__in=EVICTABLE)
    if wait_for_ends:
        placed |= Q(status=Status.STOPPING, yielded=False)
    rows = Deployment.objects.filter(placed, cluster_id=snapshot.cluster_id, **filters)
    if wait_for_ends:
        rows = rows.annotate(is_simulated=Q(cluster__runtime=Runtime.SIMULATED))
        columns = (*columns, "is_simulated")
    return tuple(
        engine.Running(
            id=str(row["id"]),
            priority=row["priority_class__name"],
            request=Resources(row["cpu_milli"], row["ram_mib"], row["gpu"]),
            replicas=row["replicas"],
            placement=tuple(
                engine.Placement(each["node_id"], each["replicas"]) for each in row["placement"]
            ),
            started_ms=_when(row["started_at"]),
            checkpoint_ms=_when(row["checkpoint_at"]),
            preemptions=row["preemption_count"],
            ends_ms=_when(_end(row)),
            owner=str(row["owner_id"]) if by_owner else "",
            endless=row["kind"] == Kind.SERVICE
            and row["max_runtime_s"] is None
            and row["simulated_runtime_s"] is None
            and row["status"] != Status.STOPPING,
            admitted_ms=_when(row["admitted_at"]) if row["started_at"] is None else None,
            stopping=row["status"] == Status.STOPPING,
            sweep=str(row["sweep_id"] or ""),
        )
        for row in rows.values(*columns)[:most].iterator(chunk_size=5000)
    )


def _when(at: datetime | None) -> int | None:
    return milliseconds(at) if at is not None else None


def _end(row: Mapping[str, Any]) -> datetime | None:
    """When its time limit ends it. Where preemptors wait for ends, once it has physically ended at
    the latest: after its grace, which simulated deployments need not."""
    if row["status"] == Status.STOPPING:
        end: datetime | None = row["stop_by"]
        return end
    if row["started_at"] is None or row["max_runtime_s"] is None:
        return None
    grace_s = 0 if row.get("is_simulated", True) else row["grace_s"]
    limit: datetime = row["started_at"] + timedelta(seconds=row["max_runtime_s"] + grace_s)
    return limit


# What could be evicted of each node, by priority value; not what a drain evicts anyway.
_EVICTABLE = """
SELECT d.cluster_id, p.value, e ->> 'node_id',
       sum(d.cpu_milli * (e ->> 'replicas')::bigint)::bigint,
       sum(d.ram_mib * (e ->> 'replicas')::bigint)::bigint,
       sum(d.gpu * (e ->> 'replicas')::bigint)::bigint
  FROM deployments_deployment d
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
  JOIN clusters_cluster c ON c.id = d.cluster_id, jsonb_array_elements(d.placement) e
 WHERE d.cluster_id = ANY(%(clusters)s) AND d.status IN ('STARTING', 'RUNNING')
   AND p.preemptible AND d.preemption_count < c.max_preemptions
   AND NOT EXISTS (
       SELECT FROM jsonb_array_elements(d.placement) on_node
         JOIN clusters_node n ON n.id = (on_node ->> 'node_id')::uuid
        WHERE n.state = 'DRAINING'
          AND (n.drain_mode = 'now'
               OR n.drain_mode = 'at_checkpoint' AND d.checkpoint_at >= n.drain_since))
 GROUP BY 1, 2, 3
"""


def evictable_in(
    cluster_ids: Collection[UUID],
) -> dict[UUID, list[tuple[int, str, Resources]]]:
    """Of clusters with nodes: (priority value, node, what could be evicted there). One query."""
    found: dict[UUID, list[tuple[int, str, Resources]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_EVICTABLE, {"clusters": list(cluster_ids)})
        for cluster, value, node, *amount in cursor.fetchall():
            found[cluster].append((value, node, Resources(*amount)))
    return found
