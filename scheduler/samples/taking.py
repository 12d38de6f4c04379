"""Takes a sample of all clusters each minute, and forgets old ones."""

import logging
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, connection

from scheduler.models import ClusterSample

logger = logging.getLogger(__name__)

MOST_DELETED = 5_000  # in one short transaction

# What is free is closed on nodes that are not open, and wholly in a cluster that is not ACTIVE, as
# clusters.queries.attach_closed has it. Of several timers, and of a job that comes twice within a
# minute, the first is right. A cluster whose row is being deleted is left out, not waited for.
_TAKE = """
WITH shut AS (
    SELECT cluster_id, sum(cpu_milli - allocated_cpu_milli) AS cpu,
           sum(ram_mib - allocated_ram_mib) AS ram, sum(gpu - allocated_gpu) AS gpu
      FROM clusters_node
     WHERE NOT (state = 'READY' AND observed = 'READY' AND judged = 'READY') GROUP BY cluster_id),
by_class AS (
    SELECT d.cluster_id, p.name, count(*) AS number
      FROM deployments_deployment d JOIN deployments_priorityclass p ON p.id = d.priority_class_id
     WHERE d.status = 'QUEUED' GROUP BY d.cluster_id, p.name),
waiting AS (
    SELECT cluster_id, sum(number) AS number, jsonb_object_agg(name, number) AS classes
      FROM by_class GROUP BY cluster_id),
running AS (
    SELECT cluster_id, count(*) AS number FROM deployments_deployment
     WHERE status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT yielded GROUP BY cluster_id)
INSERT INTO scheduler_clustersample (cluster_id, at, total_cpu_milli, total_ram_mib, total_gpu,
       allocated_cpu_milli, allocated_ram_mib, allocated_gpu, closed_cpu_milli, closed_ram_mib,
       closed_gpu, waiting, running, waiting_by_priority)
SELECT c.id, date_trunc('minute', statement_timestamp()), c.total_cpu_milli, c.total_ram_mib,
       c.total_gpu, c.allocated_cpu_milli, c.allocated_ram_mib, c.allocated_gpu,
       CASE WHEN c.state = 'ACTIVE' THEN coalesce(shut.cpu, 0)
            ELSE c.total_cpu_milli - c.allocated_cpu_milli END,
       CASE WHEN c.state = 'ACTIVE' THEN coalesce(shut.ram, 0)
            ELSE c.total_ram_mib - c.allocated_ram_mib END,
       CASE WHEN c.state = 'ACTIVE' THEN coalesce(shut.gpu, 0)
            ELSE c.total_gpu - c.allocated_gpu END,
       coalesce(w.number, 0), coalesce(r.number, 0), coalesce(w.classes, '{}')
  FROM clusters_cluster c LEFT JOIN shut ON shut.cluster_id = c.id
  LEFT JOIN waiting w ON w.cluster_id = c.id LEFT JOIN running r ON r.cluster_id = c.id
 WHERE c.deleted_at IS NULL FOR KEY SHARE OF c SKIP LOCKED
    ON CONFLICT (cluster_id, at) DO NOTHING
"""


def take() -> None:
    """Write a row for each cluster. One query. A failure costs this minute alone, and is logged."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_TAKE)
    except DatabaseError as error:
        logger.warning("no sample taken", extra={"error": str(error)})


def forget(before: datetime) -> Iterator[int]:
    """Delete samples from before that time, the oldest first; yields how many each short
    transaction has deleted."""
    old = ClusterSample.objects.filter(at__lt=before).order_by("at")
    while ids := list(old.values_list("pk", flat=True)[:MOST_DELETED]):
        yield ClusterSample.objects.filter(pk__in=ids).delete()[0]


def delete_some_rows(cluster_id: UUID, most: int) -> int:
    """Delete some of a deleted cluster's samples; returns how many."""
    rows = ClusterSample.objects.filter(cluster=cluster_id).order_by("at")
    ids = list(rows.values_list("pk", flat=True)[: min(most, MOST_DELETED)])
    return ClusterSample.objects.filter(pk__in=ids).delete()[0] if ids else 0
