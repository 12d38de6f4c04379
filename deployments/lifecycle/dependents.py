"""Updates the deployments that depend on one that has ended.

`pending_dependencies` counts the dependencies that have not COMPLETED; the scheduler reads only
rows where it is 0. Each completion counts it anew from the rows, never down, so it cannot drift.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from deployments.lifecycle.timeline import record_all
from deployments.models import Deployment, EventType, Status
from deployments.reasons.codes import DEPENDENCY_FAILED
from deployments.signals import deployment_stopped
from deployments.usage import intervals
from deployments.usage.models import Outcome

# All dependents of the given deployments, whatever their status: an ended row's counter is right
# too.
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

# Each queued deployment that depends on the given ones, directly or not, with its dependencies.
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

# A deployment that a user has stopped meanwhile stays as it is. One that was submitted after the
# end, and before that was noticed, has failed at once.
_FAIL = """
UPDATE deployments_deployment d
   SET status = 'FAILED', finished_at = greatest(p.at, d.queued_at), reason_code = %(code)s,
       reason_details = p.details
  FROM (SELECT given.id, given.at, jsonb_build_object('by', given.by) || CASE
               WHEN cause.name > '' THEN jsonb_build_object(
                   'by_name', cause.name, 'by_owner', owner.username)
               ELSE '{}' END AS details
          FROM unnest(%(ids)s::uuid[], %(causes)s::uuid[], %(times)s::timestamptz[])
               AS given(id, by, at)
          JOIN deployments_deployment cause ON cause.id = given.by
          JOIN accounts_user owner ON owner.id = cause.owner_id) p
 WHERE d.id = p.id AND d.status = 'QUEUED'
RETURNING d.id, d.cluster_id, d.reason_details, d.finished_at
"""


def has_queued_dependents(deployment_id: UUID) -> bool:
    """Whether a queued deployment waits for this one to complete. One query."""
    return Deployment.objects.filter(depends_on=deployment_id, status=Status.QUEUED).exists()


def update_dependents(ended: Mapping[UUID, datetime], status: str) -> None:
    """Update the dependents of deployments that have ended in that status, each at its time.

    The caller has the locks of their clusters. After COMPLETED, dependents that wait for nothing
    else may start: the wake-up that follows every end covers them. After any other status all
    dependents, direct or not, fail. One query; where dependents fail, two more, and one for each
    thousand timeline entries.
    """
    if status != Status.COMPLETED:
        _fail_dependents(ended)
        return
    with connection.cursor() as cursor:
        cursor.execute(_RECOUNT, {"ended": list(ended)})


def _fail_dependents(ended: Mapping[UUID, datetime]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DOOMED, {"ended": list(ended)})
        causes = dict(_causes(sorted(ended), cursor.fetchall()))
        if not causes:
            return
        params: dict[str, Any] = {
            "code": DEPENDENCY_FAILED,
            "ids": list(causes),
            "causes": list(causes.values()),
            "times": [ended[cause] for cause in causes.values()],
        }
        cursor.execute(_FAIL, params)
        failed = cursor.fetchall()
    intervals.end_waiting([key for key, *_ in failed], Outcome.FAILED)
    lines = [
        (key, {"code": DEPENDENCY_FAILED, **json.loads(details)}) for key, _, details, _ in failed
    ]
    record_all(lines, EventType.FAILED, at={key: at for key, *_, at in failed})
    by_cluster: dict[UUID, list[UUID]] = {}
    for key, cluster_id, *_ in failed:
        by_cluster.setdefault(cluster_id, []).append(key)
    for cluster_id, ids in by_cluster.items():
        deployment_stopped.send(
            Deployment, cluster_id=cluster_id, deployment_ids=ids, trigger="STOPPED"
        )


def _causes(
    ended: Sequence[UUID], edges: Sequence[tuple[UUID, UUID]]
) -> Iterator[tuple[UUID, UUID]]:
    """Yields each dependent with the deployment of `ended` that it fails for: the nearest one.

    `edges` lead from a dependency to its dependent.
    """
    dependents: dict[UUID, list[UUID]] = {}
    for dependency, dependent in edges:
        dependents.setdefault(dependency, []).append(dependent)
    causes = {key: key for key in ended}
    reached = list(ended)
    for dependency in reached:  # grows meanwhile
        for dependent in dependents.get(dependency, ()):
            if dependent not in causes:
                causes[dependent] = causes[dependency]
                reached.append(dependent)
                yield dependent, causes[dependency]
