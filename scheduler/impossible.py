"""What could never run: found at a submit, and failed where its cluster says for how long it may
wait.

A cycle sets the impossible aside, whatever changes later: nodes may come. So it is only failed once
not even the empty cluster could have run it in `fail_impossible_after_s` at a stretch. Since when
that is, is kept by scheduling key (ImpossibleRequest), as a node that is detached for a minute must
fail nothing that has waited for days.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.db.models.functions import Now

from clusters.models import Cluster
from clusters.services.clusters import lock_cluster
from deployments.lifecycle.timeline import record_all
from deployments.lifecycle.transitions import end
from deployments.models import Deployment, EventType, Status
from deployments.reasons.codes import NEVER_POSSIBLE
from deployments.signals import deployment_stopped
from mlops_platform.database.clock import database_now
from scheduler.answers.explain import as_workload
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.reasons import Code, Reason
from scheduler.engine.wait_reasons import impossible
from scheduler.models import ImpossibleRequest
from scheduler.store import empty_snapshots
from scheduler.store.volumes import local_volumes, names_of

MOST_REQUESTS = 10_000  # of a cluster that are looked at in one turn: the first by their keys
BATCH = 500  # rows under one lock


def why_never(deployments: Sequence[Deployment]) -> dict[UUID, tuple[str, dict[str, Any]]]:
    """As hooks.WhyNever, of deployments whose clusters are read. Three queries for each
    cluster, one more where only some nodes have a volume."""
    found = {}
    for cluster in {row.cluster_id: row.cluster for row in deployments}.values():
        rows = [row for row in deployments if row.cluster_id == cluster.pk]
        reasons = _why_never(cluster, rows)
        for row in rows:
            if (reason := reasons.get(row.scheduling_key)) is not None:
                found[row.pk] = (reason.code.value, reason.details)
    return found


def fail_all() -> int:
    """Fail what is overdue in all clusters; returns how many."""
    ImpossibleRequest.objects.filter(cluster__fail_impossible_after_s=None).delete()
    wanted = Cluster.objects.filter(fail_impossible_after_s__isnull=False)
    return sum(_fail_in(cluster) for cluster in wanted.order_by("pk").iterator())


def _fail_in(cluster: Cluster) -> int:
    waiting = _waiting(cluster.pk)
    rows = list(waiting.order_by("scheduling_key", "pk").distinct("scheduling_key")[:MOST_REQUESTS])
    keys = set(_asking_too_much(cluster, rows))
    known = ImpossibleRequest.objects.filter(cluster=cluster)
    known.exclude(scheduling_key__in=keys).delete()
    ImpossibleRequest.objects.bulk_create(
        (ImpossibleRequest(cluster=cluster, scheduling_key=key) for key in sorted(keys)),
        ignore_conflicts=True,
    )
    after = timedelta(seconds=cluster.fail_impossible_after_s or 0)
    overdue = list(known.filter(since__lte=Now() - after).values_list("scheduling_key", flat=True))
    failed = 0
    while overdue and (count := _fail_batch(cluster.pk, overdue)):
        failed += count
    return failed


def _fail_batch(cluster_id: UUID, keys: Sequence[str]) -> int:
    """Looks again under the lock: the cluster, or its policy, may have changed."""
    with transaction.atomic():
        try:
            cluster = lock_cluster(cluster_id)
        except Cluster.DoesNotExist:
            return 0
        if cluster.fail_impossible_after_s is None:
            return 0
        after_s, now = cluster.fail_impossible_after_s, database_now()
        found = list(
            _waiting(cluster_id)
            .filter(scheduling_key__in=keys, queued_at__lte=now - timedelta(seconds=after_s))
            .select_for_update(no_key=True, of=("self",))
            .order_by("pk")[:BATCH]
        )
        reasons = _asking_too_much(cluster, found)
        rows = [row for row in found if row.scheduling_key in reasons]
        for key in {row.scheduling_key for row in rows}:
            alike = [row for row in rows if row.scheduling_key == key]
            details = {"after_s": after_s, "why": _shown(reasons[key])}
            end(
                alike,
                now,
                status=Status.FAILED,
                reason_code=NEVER_POSSIBLE,
                reason_details=details,
            )
            lines = [(row.pk, {"code": NEVER_POSSIBLE, **details}) for row in alike]
            record_all(lines, EventType.FAILED, at=now, cluster=cluster)
        if rows:
            ids = [row.pk for row in rows]
            deployment_stopped.send(
                Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="STOPPED"
            )
        return len(rows)


def _waiting(cluster_id: UUID) -> Any:
    """What waits for capacity alone, and for any node: what avoids one does so for a short time."""
    return Deployment.objects.select_related("priority_class", "cluster").filter(
        cluster=cluster_id,
        status=Status.QUEUED,
        pending_dependencies=0,
        retry_at=None,
        avoided_node_id=None,
    )


def _asking_too_much(cluster: Cluster, rows: Sequence[Deployment]) -> dict[str, Reason]:
    """As `_why_never`, but none while the cluster has no capacity yet, whatever they ask for."""
    reasons = _why_never(cluster, rows)
    return {key: reason for key, reason in reasons.items() if reason.code != Code.NO_CAPACITY_YET}


def _why_never(cluster: Cluster, rows: Sequence[Deployment]) -> dict[str, Reason]:
    """By scheduling key, why not even the empty cluster could run these rows: of those that it
    could not. Up to three queries, one more where only some nodes have a volume."""
    volumes = local_volumes([cluster])
    local = names_of(volumes.get(cluster.pk, ()))
    capacity = Capacity(empty_snapshots([cluster], volumes)[cluster.pk])
    first = {row.scheduling_key: row for row in rows}
    prefetch_related_objects(list(first.values()), "priority_class")
    found = {key: impossible(capacity, as_workload(row, local)) for key, row in first.items()}
    return {key: reason for key, reason in found.items() if reason is not None}


def _shown(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code.value, "details": reason.details}
