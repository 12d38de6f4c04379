"""Reads sweeps: which ones a user may see, what has become of their members, and their limits."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from accounts.models import User
from clusters.models import Cluster
from clusters.queries import clusters_visible_to
from deployments.models import ENDED, Deployment, Status, Sweep
from mlops_platform.api.errors import not_found

# Of each index the newest member counts: that of the last retry.
_LATEST = """
SELECT DISTINCT ON (d.sweep_id, d.sweep_index)
       d.id, d.sweep_id, d.sweep_index, d.status, d.started_at, d.finished_at
  FROM deployments_deployment d WHERE d.sweep_id = ANY(%(sweeps)s::uuid[])
 ORDER BY d.sweep_id, d.sweep_index, d.id DESC
"""
_COUNTS = """
SELECT sweep_id, status, count(*), min(started_at), max(finished_at)
  FROM ({latest}) latest GROUP BY 1, 2
"""
_OF_STATUS = "SELECT id FROM ({latest}) latest WHERE status = %(status)s ORDER BY sweep_index"

# Those with a limit of which a member waits, found from one to the next through an index, and how
# many members have an allocation.
_LIMITS = """
WITH RECURSIVE waiting AS (
    SELECT c.id AS cluster, '00000000-0000-0000-0000-000000000000'::uuid AS sweep
      FROM unnest(%(clusters)s::uuid[]) AS c(id)
    UNION ALL
    SELECT waiting.cluster, (
        SELECT d.sweep_id FROM deployments_deployment d
         WHERE d.cluster_id = waiting.cluster AND d.status = 'QUEUED' AND d.sweep_id IS NOT NULL
           AND d.sweep_id > waiting.sweep
         ORDER BY d.sweep_id LIMIT 1)
      FROM waiting WHERE waiting.sweep IS NOT NULL)
SELECT s.cluster_id, s.id, s.max_parallel,
       (SELECT count(*) FROM deployments_deployment d
         WHERE d.sweep_id = s.id AND d.status IN ('STARTING', 'RUNNING', 'STOPPING')
           AND NOT d.yielded)
  FROM waiting JOIN deployments_sweep s ON s.id = waiting.sweep
 WHERE s.max_parallel IS NOT NULL
 ORDER BY s.id
"""


@dataclass
class Progress:
    """What has become of the members of a sweep of `size`, the newest of each index."""

    size: int
    counts: dict[str, int] = field(default_factory=dict)  # by status; none is 0
    started_at: datetime | None = None
    last_end: datetime | None = None

    @property
    def ended(self) -> int:
        """Those that the retention has deleted had ended."""
        return self.size - sum(n for each, n in self.counts.items() if each not in ENDED)

    @property
    def finished_at(self) -> datetime | None:
        return self.last_end if self.ended == self.size else None

    @property
    def status(self) -> str:
        """QUEUED until a member has an allocation, then RUNNING until all have ended; then FAILED
        if any failed, else STOPPED if any was stopped, else COMPLETED."""
        if self.ended < self.size:
            waits = self.counts.get(Status.QUEUED, 0) == self.size and self.started_at is None
            return Status.QUEUED if waits else Status.RUNNING
        for status in (Status.FAILED, Status.STOPPED):
            if self.counts.get(status):
                return status
        return Status.COMPLETED


def sweeps_visible_to(user: User) -> QuerySet[Sweep]:
    """The sweeps in the clusters of the user's organizations, newest first."""
    visible = Sweep.objects.filter(cluster__in=clusters_visible_to(user).order_by())
    return visible.select_related("cluster__organization", "owner").order_by("-id")


def sweep_for(user: User, sweep_id: UUID) -> Sweep:
    """404 where there is none that the user may see. One query."""
    sweep = sweeps_visible_to(user).filter(pk=sweep_id).first()
    if sweep is None:
        raise not_found()
    return sweep


def progress_of(sweeps: Iterable[Sweep]) -> dict[UUID, Progress]:
    """By id. One query, none for no sweep."""
    found = {each.pk: Progress(each.size) for each in sweeps}
    if not found:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS.format(latest=_LATEST), {"sweeps": list(found)})
        for sweep, status, count, started, finished in cursor.fetchall():
            progress = found[sweep]
            progress.counts[status] = count
            starts = [each for each in (progress.started_at, started) if each is not None]
            ends = [each for each in (progress.last_end, finished) if each is not None]
            progress.started_at = min(starts, default=None)
            progress.last_end = max(ends, default=None)
    return found


def members_of(sweep: Sweep, status: Status) -> list[Deployment]:
    """Of each index the newest member, if it has this status; in the order of their indexes. Two
    queries."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OF_STATUS.format(latest=_LATEST), {"sweeps": [sweep.pk], "status": str(status)}
        )
        ids = [pk for (pk,) in cursor.fetchall()]
    rows = Deployment.objects.select_related("priority_class").in_bulk(ids)
    return [rows[pk] for pk in ids if pk in rows]


def open_members(sweep: Sweep) -> QuerySet[Deployment]:
    """Those that have not ended, without an order."""
    return Deployment.objects.filter(sweep=sweep).exclude(status__in=ENDED)


def limits_in(cluster_ids: Collection[UUID]) -> Sequence[tuple[UUID, UUID, int, int]]:
    """Of the sweeps with a limit of which a member waits: the cluster, the id, how many members may
    have an allocation at once, and how many have one. In the order of ids. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS, {"clusters": list(cluster_ids)})
        return list(cursor.fetchall())


def expect_limits_in(cluster: Cluster) -> None:
    """Make cycles of the cluster look for limits, from the end of the caller's transaction on. One
    write, which waits for a cycle that applies its plan; none where they do already."""
    if not cluster.has_sweeps:
        Cluster.objects.filter(pk=cluster.pk, has_sweeps=False).update(has_sweeps=True)
