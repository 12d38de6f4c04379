"""Reads what a forecast rests on: the cluster with its line, run times, and earlier forecasts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from deployments.models import ENDED, Deployment
from scheduler.engine.snapshot import Snapshot, Workload
from scheduler.forecast import Correction, Expected, History, Traits
from scheduler.start_times import records
from scheduler.store.part_reader import PartReader

MOST_IN_LINE = 500
MOST_RUNNING = 2_000
MOST_STEPS = 100_000  # of one plan: a forecast makes very many
MOST_ENDED = 500  # of each class and status, the latest submitted

# Through the index `deployment_by_class`, whatever a cluster has behind it.
_ENDED = """
SELECT d.owner_id::text, d.name, d.image, p.name,
       (extract(epoch FROM d.finished_at - d.started_at) * 1000)::bigint
  FROM deployments_priorityclass p
 CROSS JOIN unnest(%(statuses)s::text[]) AS ended(status)
 CROSS JOIN LATERAL (
       SELECT * FROM deployments_deployment d
        WHERE d.priority_class_id = p.id AND d.cluster_id = %(cluster)s
          AND d.status = ended.status
        ORDER BY d.id DESC LIMIT %(most)s) d
 WHERE d.started_at IS NOT NULL AND d.finished_at > d.started_at AND d.kind = 'job'
 ORDER BY d.finished_at
"""
_COLUMNS = (
    *("id", "owner_id", "name", "image", "priority_class__name", "max_runtime_s"),
    *("simulated_runtime_s", "simulated_runtime_extra_ms"),
)


@dataclass(frozen=True, slots=True)
class Inputs:
    snapshot: Snapshot
    expected: Mapping[str, Expected]
    history: History
    correction: Correction


def read(reader: PartReader, newcomer: tuple[Deployment, Workload] | None = None) -> Inputs | None:
    """None where more runs than a forecast considers. Four queries, in the reader's transaction.
    `newcomer`: one that is not submitted, and stands at its place in line."""
    snapshot = reader.line(MOST_IN_LINE)
    if snapshot is None or len(snapshot.running) > MOST_RUNNING:
        return None
    snapshot = replace(snapshot, most_steps=MOST_STEPS)
    ids = [UUID(each.id) for each in snapshot.running]
    ids += [UUID(each.id) for each in snapshot.queued]
    expected = expected_of(ids)
    if newcomer is not None:
        deployment, workload = newcomer
        snapshot = replace(snapshot, queued=(*snapshot.queued, workload))
        expected[workload.id] = _expected(
            {
                "owner_id": deployment.owner_id,
                "name": deployment.name,
                "image": deployment.image,
                "priority_class__name": workload.priority,
                "max_runtime_s": deployment.max_runtime_s,
                "simulated_runtime_s": deployment.simulated_runtime_s,
                "simulated_runtime_extra_ms": deployment.simulated_runtime_extra_ms,
            }
        )
    cluster_id = UUID(snapshot.cluster_id)
    correction = Correction.learned(records.outcomes_of(cluster_id))
    return Inputs(snapshot, expected, history_of(cluster_id), correction)


def expected_of(ids: Collection[UUID]) -> dict[str, Expected]:
    """What is known of the run times of these deployments, by id. One query."""
    rows = Deployment.objects.filter(pk__in=ids).order_by()
    return {str(row["id"]): _expected(row) for row in rows.values(*_COLUMNS)}


def _expected(row: Mapping[str, Any]) -> Expected:
    known_s, limit_s = row["simulated_runtime_s"], row["max_runtime_s"]
    return Expected(
        Traits(str(row["owner_id"]), row["name"], row["image"], row["priority_class__name"]),
        None if limit_s is None else limit_s * 1000,
        None if known_s is None else known_s * 1000 + row["simulated_runtime_extra_ms"],
    )


def history_of(cluster_id: UUID) -> History:
    """The run times of the cluster's jobs that have ended, in their last attempts. One query."""
    params: dict[str, Any] = {
        "cluster": cluster_id,
        "statuses": [str(status) for status in ENDED],
        "most": MOST_ENDED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ENDED, params)
        rows = cursor.fetchall()
    return History((Traits(*traits), run_ms) for *traits, run_ms in rows)
