"""Reads the maintenance windows of nodes that have not ended."""

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from django.db import connection

from mlops_platform.api.ids import milliseconds
from scheduler.engine.snapshot import Window

# Of its nodes, those that it has closed, and that would else be open, are open again at its end.
_WINDOWS = """
SELECT w.cluster_id, w.id, w.reason, w.mode, w.begins_at, w.ends_at,
       array_agg(n.id ORDER BY n.id),
       array_agg(n.id ORDER BY n.id) FILTER (
           WHERE n.drain ->> 'window' = w.id::text AND n.drain ->> 'before' = 'READY'
             AND n.observed = 'READY' AND n.judged = 'READY')
  FROM clusters_maintenancewindow w
  JOIN clusters_maintenancewindow_nodes place ON place.maintenancewindow_id = w.id
  JOIN clusters_node n ON n.id = place.node_id
 WHERE w.cluster_id = ANY(%(clusters)s) AND w.state <> 'ENDED'
   AND w.ends_at > statement_timestamp()
 GROUP BY w.id
 ORDER BY w.begins_at, w.id
"""


def windows_in(cluster_ids: Collection[UUID]) -> dict[UUID, tuple[Window, ...]]:
    """By begin and id, in each cluster. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, {"clusters": list(cluster_ids)})
        rows = cursor.fetchall()
    found: dict[UUID, tuple[Window, ...]] = defaultdict(tuple)
    for cluster, id_, reason, mode, begins_at, ends_at, nodes, closed in rows:
        found[cluster] += (
            Window(
                id=str(id_),
                reason=reason,
                mode=mode,
                begins_ms=milliseconds(begins_at),
                ends_ms=milliseconds(ends_at),
                node_ids=tuple(map(str, nodes)),
                closed_ids=tuple(map(str, closed or ())),
            ),
        )
    return found
