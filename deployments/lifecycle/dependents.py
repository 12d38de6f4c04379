"""What becomes of the deployments that depend on one that has ended.

`pending_dependencies` counts the dependencies that have not COMPLETED; the scheduler reads only
rows where it is 0. Each completion counts it anew from the rows, never down, so it cannot drift.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from deployments.lifecycle.timeline import record_all
from deployments.models import Deployment, EventType, Status
from deployments.reasons import DEPENDENCY_FAILED
from deployments.signals import deployment_stopped

# Of all that depend on the given ones, whatever their state: an ended one's counter is true too.
_RECOUNT = """
UPDATE deployments_deployment d SET pending_dependencies = truth.pending
  FROM (SELECT e.from_deployment_id AS id,
               count(*) FILTER (WHERE needed.status <> 'COMPLETED') AS pending
          FROM deployments_deployment_depends_on e
          JOIN deployments_deployment needed ON needed.id = e.to_deployment_id
         WHERE e.from_deployment_id IN (
               SELECT from_deployment_id FROM deployments_deployment_depends_on
                WHERE to_deployment_id = ANY(%(ended)s::uuid[]))
         GROUP BY 1) truth
 WHERE d.id = truth.id AND d.pending_dependencies <> truth.pending
"""

# Every queued one that is reached from the given ones, however far, with all that it depends on.
_DOOMED = """
WITH RECURSIVE doomed(id) AS (
    SELECT d.id FROM deployments_deployment_depends_on e
      JOIN deployments_deployment d ON d.id = e.from_deployment_id AND d.status = 'QUEUED'
     WHERE e.to_deployment_id = ANY(%(ended)s::uuid[])
    UNION
    SELECT d.id FROM doomed
      JOIN deployments_deployment_depends_on e ON e.to_deployment_id = doomed.id
      JOIN deployments_deployment d ON d.id = e.from_deployment_id AND d.status = 'QUEUED'
)
SELECT e.to_deployment_id, e.from_deployment_id
  FROM doomed JOIN deployments_deployment_depends_on e ON e.from_deployment_id = doomed.id
 ORDER BY 1, 2
"""

# One that somebody has stopped meanwhile is left as it is.
_FAIL = """
UPDATE deployments_deployment d
   SET status = 'FAILED', finished_at = %(now)s, reason_code = %(code)s,
       reason_details = jsonb_build_object('by', p.by)
  FROM unnest(%(ids)s::uuid[], %(causes)s::uuid[]) AS p(id, by)
 WHERE d.id = p.id AND d.status = 'QUEUED'
RETURNING d.id, p.by
"""


def is_awaited(deployment_id: UUID) -> bool:
    """Whether anybody waits for it to complete."""
    return Deployment.objects.filter(depends_on=deployment_id, status=Status.QUEUED).exists()


def settled(cluster_id: UUID, ended: Collection[UUID], status: str, now: datetime) -> None:
    """Those of one cluster, whose lock the caller holds, have ended in that status.

    Where they completed, who waited for nothing else may start: the bell that every end rings for
    the cluster is theirs as well. Otherwise all that depend on them, directly or not, fail. One
    query; where somebody fails, one more, and one for each thousand lines of timeline.
    """
    if status != Status.COMPLETED:
        _fail_dependents(cluster_id, ended, now)
        return
    with connection.cursor() as cursor:
        cursor.execute(_RECOUNT, {"ended": list(ended)})


def _fail_dependents(cluster_id: UUID, ended: Collection[UUID], now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DOOMED, {"ended": list(ended)})
        causes = dict(_causes(sorted(ended), cursor.fetchall()))
        if not causes:
            return
        params: dict[str, Any] = {
            "now": now,
            "code": DEPENDENCY_FAILED,
            "ids": list(causes),
            "causes": list(causes.values()),
        }
        cursor.execute(_FAIL, params)
        failed = cursor.fetchall()
    lines = [(key, {"code": DEPENDENCY_FAILED, "by": str(cause)}) for key, cause in failed]
    record_all(lines, EventType.FAILED, at=now)
    deployment_stopped.send(
        Deployment,
        cluster_id=cluster_id,
        deployment_ids=[key for key, _ in failed],
        trigger="STOPPED",
    )


def _causes(
    ended: Sequence[UUID], edges: Sequence[tuple[UUID, UUID]]
) -> Iterator[tuple[UUID, UUID]]:
    """(dependent, which of `ended` it fails for): the one with the fewest steps between.

    `edges` lead from what is needed to who needs it.
    """
    dependents: dict[UUID, list[UUID]] = {}
    for needed, dependent in edges:
        dependents.setdefault(needed, []).append(dependent)
    causes = {key: key for key in ended}
    reached = list(ended)
    for needed in reached:  # grows as it goes
        for dependent in dependents.get(needed, ()):
            if dependent not in causes:
                causes[dependent] = causes[needed]
                reached.append(dependent)
                yield dependent, causes[needed]
