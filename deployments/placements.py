"""Reads placements, and renames nodes in them: a placement has names as well as ids."""

from uuid import UUID

from django.db import connection

from deployments.lifecycle.timeline import record_all
from deployments.models import Deployment, EventType, Status

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


def node_ids(row: Deployment) -> list[str]:
    """The node id of each replica, in the order of the replicas' numbers."""
    return [str(each["node_id"]) for each in row.placement for _ in range(each["replicas"])]


def rename_node(cluster_id: UUID, node_id: UUID, name: str) -> None:
    """Rename the node in all placements; the caller has the cluster's lock. Two queries."""
    with connection.cursor() as cursor:
        cursor.execute(_RENAME, {"cluster": cluster_id, "node": str(node_id), "name": name})
        lines = [(row, {"node": {"to": name}}) for (row,) in cursor.fetchall()]
    record_all(lines, EventType.CHANGED, at=None)


def terminating_nodes(cluster_id: UUID) -> set[UUID]:
    """The nodes on which an evicted deployment has not ended yet. One query."""
    placements = Deployment.objects.filter(
        cluster=cluster_id, status=Status.STOPPING, yielded=True
    ).values_list("placement", flat=True)
    return {UUID(each["node_id"]) for placement in placements for each in placement}
