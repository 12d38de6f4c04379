"""Renames a node in the placements on it: a placement has names as well as ids."""

from uuid import UUID

from django.db import connection

from deployments.lifecycle.timeline import record_all
from deployments.models import EventType

_RENAME = """
UPDATE deployments_deployment d
   SET placement = (
       SELECT jsonb_agg(
              CASE WHEN p ->> 'node_id' = %(node)s
                   THEN p || jsonb_build_object('node', %(name)s::text) ELSE p END
              ORDER BY at)
         FROM jsonb_array_elements(d.placement) WITH ORDINALITY AS places(p, at))
 WHERE d.cluster_id = %(cluster)s AND d.status IN ('STARTING', 'RUNNING', 'STOPPING')
   AND d.placement @> jsonb_build_array(jsonb_build_object('node_id', %(node)s::text))
RETURNING d.id
"""


def rename_node(cluster_id: UUID, node_id: UUID, name: str) -> None:
    """Rename the node in all placements; the caller has the cluster's lock. Two queries."""
    with connection.cursor() as cursor:
        cursor.execute(_RENAME, {"cluster": cluster_id, "node": str(node_id), "name": name})
        lines = [(row, {"node": {"to": name}}) for (row,) in cursor.fetchall()]
    record_all(lines, EventType.CHANGED, at=None)
