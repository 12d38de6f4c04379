"""Deployments that wait for others to complete.

What a deployment depends on is settled when it is submitted and must be there already, so no circle
can be made. `pending_dependencies` counts those that have not COMPLETED; the scheduler loads only
rows where it is 0. It is counted anew from the rows whenever one completes, never counted down, so
nothing can make it drift.

No end is missed: a submit that names others holds the cluster's lock, and theirs, from before it
looks at them until it commits. Every end takes the cluster's lock too, but for the short cut of
stopping.py; that one writes its own row first and only then looks whether anybody waits for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from clusters.queries import spelt_uuid
from clusters.services import lock_clusters
from deployments.events import record_all
from deployments.models import Deployment, EventType, Status
from deployments.queries import Dependency
from deployments.reasons import DEPENDENCY_FAILED, some_of
from deployments.signals import deployment_stopped
from mlops_platform.api.errors import Conflict, Invalid, not_found

LINKS = 10_000  # rows of one insert
HOPELESS = (Status.FAILED, Status.STOPPED)  # what ended so will never complete

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


# --- At submit -------------------------------------------------------------------------------


class Known(NamedTuple):
    """A deployment that may be depended on, and where it is."""

    cluster_id: UUID
    dependency: Dependency


def known(cluster_ids: Collection[UUID], ids: Collection[str]) -> dict[UUID, Known]:
    """Those of the clusters that `ids` name, by id, oldest first. One query, none for no ids."""
    keys = set(filter(None, map(spelt_uuid, ids)))
    if not keys:
        return {}
    rows = Deployment.objects.filter(cluster__in=cluster_ids, pk__in=keys).order_by("pk")
    return {
        pk: Known(cluster_id, Dependency(pk, status))
        for pk, cluster_id, status in rows.values_list("pk", "cluster_id", "status")
    }


def named(cluster_id: UUID, ids: Collection[str], found: Mapping[UUID, Known]) -> list[Dependency]:
    """Those that `ids` name, of that cluster, oldest first.

    400 that names the others, told alike whether they are elsewhere or nowhere.
    """
    there: dict[UUID, Dependency] = {}
    missing = []
    for text in ids:
        key = spelt_uuid(text)
        each = found.get(key) if key else None
        if each is not None and each.cluster_id == cluster_id:
            there[each.dependency.id] = each.dependency
        else:
            missing.append(text)
    if missing:
        raise Invalid({"depends_on": f"No deployments of this cluster: {some_of(missing)}."})
    return [there[key] for key in sorted(there)]


def attach(
    needs: Sequence[tuple[Deployment, Sequence[Dependency]]],
) -> list[list[Dependency]]:
    """Let each row just inserted depend on those found; answers them as they are now, and locked.

    404 where a cluster is gone. Three queries however many, one more where one has completed since
    it was found. Whoever will never complete is the caller's to refuse (refuse_hopeless).
    """
    clusters = {row.cluster_id for row, _ in needs}
    if len(lock_clusters(clusters)) < len(clusters):
        raise not_found()
    ids = {each.id for _, needed in needs for each in needed}
    rows = Deployment.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    now = {pk: Dependency(pk, status) for pk, status in rows.values_list("pk", "status")}
    present = [[now[each.id] for each in needed if each.id in now] for _, needed in needs]
    through = Deployment.depends_on.through
    through.objects.bulk_create(
        [
            through(from_deployment_id=row.pk, to_deployment_id=each.id)
            for (row, _), needed in zip(needs, present, strict=True)
            for each in needed
        ],
        batch_size=LINKS,
    )
    changed = []
    for (row, _), needed in zip(needs, present, strict=True):
        if pending(needed) != row.pending_dependencies:
            row.pending_dependencies = pending(needed)
            changed.append(row)
    Deployment.objects.bulk_update(changed, ["pending_dependencies"], batch_size=1000)
    return present


def refuse_hopeless(dependencies: Sequence[Dependency]) -> None:
    """409 where one of them will never complete."""
    for each in dependencies:
        if each.status in HOPELESS:
            raise Conflict(
                f"It could never start: {each.id}, on which it depends, is {each.status}.",
                code="dependency_failed",
            )


def pending(dependencies: Sequence[Dependency]) -> int:
    """How many of them have not completed."""
    return sum(each.status != Status.COMPLETED for each in dependencies)


# --- At an end -------------------------------------------------------------------------------


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
