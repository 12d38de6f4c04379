"""Deletes what has been kept long enough, the oldest first: the parts of the retention.

Each function yields how many rows each short transaction of its has deleted or changed, and ends
once nothing is left to do. A caller may stop at any of them and begin anew later.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from deployments.models import ENDED, Deployment, DeploymentEvent, DeploymentLog, Sweep
from deployments.services.clear import MOST_LOGS, delete_of
from mlops_platform.api.ids import first_uuid_at
from mlops_platform.database.shares import beyond_share

BATCH = 500  # rows of one transaction
MOST_FOUND = 2_000  # outputs above their organizations' shares that one search finds
MIB = 1024 * 1024

# Ids are in the order of time. While the clock was ahead, entries got times that lie in the future:
# such a one is as old as the entries behind it.
_OLD_EVENTS = """
WITH head AS (
    SELECT id, at FROM deployments_deploymentevent ORDER BY id LIMIT %(looked_at)s)
SELECT id FROM head
 WHERE at < %(before)s
    OR (at > clock_timestamp() AND id < (SELECT max(id) FROM head WHERE at < %(before)s))
 ORDER BY id LIMIT %(batch)s
"""
LOOKED_AT = 100_000  # entries

_SIZES = """
SELECT c.organization_id, l.id, l.id AS age,
       octet_length(l.output) + coalesce(octet_length(l.times), 0) AS bytes
  FROM deployments_deploymentlog l
  JOIN deployments_deployment d ON d.id = l.deployment_id
  JOIN clusters_cluster c ON c.id = d.cluster_id
"""


def ended(before: datetime) -> Iterator[int]:
    """Deployments that ended before that time, with their events, output and dependencies; not
    those that a deployment which has not ended depends on."""
    while count := delete_of(ended_before(before), BATCH, spare=needed()):
        yield count


def sweeps(before: datetime) -> Iterator[int]:
    """Sweeps from before that time of which no member is left."""
    members = Deployment.objects.filter(sweep=OuterRef("pk"))
    old = Sweep.objects.filter(pk__lt=first_uuid_at(before)).exclude(Exists(members))
    while ids := list(old.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        deleted, _ = Sweep.objects.filter(pk__in=ids).delete()
        yield deleted


def events(before: datetime) -> Iterator[int]:
    """Entries of timelines, also those whose time lies in the future."""
    params: dict[str, Any] = {"before": before, "looked_at": LOOKED_AT, "batch": BATCH}
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_OLD_EVENTS, params)
            old = [pk for (pk,) in cursor.fetchall()]
        if not old:
            return
        DeploymentEvent.objects.filter(pk__in=old).delete()
        yield len(old)


def output(before: datetime) -> Iterator[int]:
    old = DeploymentLog.objects.filter(kept_at__lt=before).order_by("kept_at")
    while ids := list(old.values_list("pk", flat=True)[:MOST_LOGS]):
        yield _delete_output(ids)


def output_beyond(share_mib: int) -> Iterator[int]:
    """The oldest output of each organization that has more than its share."""
    for ids in beyond_share(_SIZES, share_mib * MIB, MOST_FOUND):
        for start in range(0, len(ids), MOST_LOGS):
            yield _delete_output(ids[start : start + MOST_LOGS])


def keys(before: datetime) -> Iterator[int]:
    """Idempotency keys of submits before that time, not the deployments: a repetition submits
    anew."""
    old = Deployment.objects.filter(idempotency_key__isnull=False, pk__lt=first_uuid_at(before))
    while ids := _first(old.order_by("pk")):
        yield Deployment.objects.filter(pk__in=ids).update(
            idempotency_key=None, idempotency_digest=""
        )


def ended_before(before: datetime) -> list[UUID]:
    old = Deployment.objects.filter(finished_at__lt=before, status__in=ENDED)
    return _first(old.exclude(needed()).order_by("finished_at"))


def needed() -> Exists:
    """Whether a deployment that has not ended depends on it."""
    links = Deployment.depends_on.through.objects.filter(to_deployment=OuterRef("pk"))
    return Exists(links.exclude(from_deployment__status__in=ENDED))


def _first(rows: QuerySet[Deployment]) -> list[UUID]:
    return list(rows.values_list("pk", flat=True)[:BATCH])


def _delete_output(ids: Sequence[int]) -> int:
    deleted, _ = DeploymentLog.objects.filter(pk__in=ids).delete()
    return deleted
