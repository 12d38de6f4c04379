"""The first forecast of each deployment, and what became of it: how good a cluster's forecasts are,
and what corrects the next ones."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from deployments.models import ENDED
from mlops_platform.api.ids import moment
from scheduler.forecast import Calibration, Forecast, Outcome
from scheduler.models import StartForecast

LATEST = 200  # outcomes of a cluster, which count
MOST_DELETED = 1000  # in one transaction

_SETTLE = """
UPDATE scheduler_startforecast f
   SET waited_ms = (extract(epoch FROM d.admitted_at - f.made_at) * 1000)::bigint
  FROM deployments_deployment d
 WHERE d.id = f.deployment_id AND f.cluster_id = %(cluster)s AND f.waited_ms IS NULL
   AND d.admitted_at >= f.made_at
"""
# What has ended without a start says nothing.
_DROP = """
DELETE FROM scheduler_startforecast f USING deployments_deployment d
 WHERE d.id = f.deployment_id AND f.cluster_id = %(cluster)s AND f.waited_ms IS NULL
   AND d.status = ANY(%(ended)s)
"""
# What waits longer than p90 already counts as well, for as long as it has waited: else those whose
# waits are long would be missing for as long.
_LATEST = """
SELECT c.id, f.p50_ms, f.raw_p90_ms, f.p90_ms, f.waited_ms
  FROM clusters_cluster c CROSS JOIN LATERAL (
       (SELECT p50_ms, raw_p90_ms, p90_ms, waited_ms
          FROM scheduler_startforecast
         WHERE cluster_id = c.id AND waited_ms IS NOT NULL
         ORDER BY made_at DESC LIMIT %(latest)s)
       UNION ALL
       (SELECT p50_ms, raw_p90_ms, p90_ms, waits.ms
          FROM scheduler_startforecast
         CROSS JOIN LATERAL (
               SELECT (extract(epoch FROM now() - made_at) * 1000)::bigint AS ms) waits
         WHERE cluster_id = c.id AND waited_ms IS NULL AND waits.ms > p90_ms
         LIMIT %(latest)s)) f
 WHERE c.id = ANY(%(clusters)s)
"""


def record(cluster_id: UUID, made: Forecast) -> None:
    """Keep the forecasts of those that have none yet. One query."""
    StartForecast.objects.bulk_create(
        (
            StartForecast(
                deployment_id=UUID(id_),
                cluster_id=cluster_id,
                made_at=moment(made.now_ms),
                basis=eta.basis,
                p50_ms=eta.p50_ms - made.now_ms,
                p90_ms=None if eta.p90_ms is None else eta.p90_ms - made.now_ms,
                raw_p90_ms=None if eta.raw_p90_ms is None else eta.raw_p90_ms - made.now_ms,
            )
            for id_, eta in made.etas.items()
            if eta.p50_ms is not None
        ),
        ignore_conflicts=True,
    )


def settle(cluster_id: UUID) -> None:
    """Write down which of the forecast deployments have started since. Two queries."""
    params: dict[str, Any] = {"cluster": cluster_id, "ended": [str(each) for each in ENDED]}
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, params)
        cursor.execute(_DROP, params)


def outcomes_of(cluster_id: UUID) -> list[Outcome]:
    """The latest ones. One query."""
    return _outcomes([cluster_id]).get(cluster_id, [])


def calibration_of(cluster_id: UUID) -> Calibration:
    """One query."""
    return Calibration.of(outcomes_of(cluster_id))


def calibrations(cluster_ids: Collection[UUID]) -> dict[UUID, Calibration]:
    """Of the clusters that have outcomes. One query, of some rows for each."""
    found = _outcomes(cluster_ids)
    return {cluster_id: Calibration.of(known) for cluster_id, known in found.items()}


def _outcomes(cluster_ids: Collection[UUID]) -> dict[UUID, list[Outcome]]:
    params: dict[str, Any] = {"clusters": list(cluster_ids), "latest": LATEST}
    found: dict[UUID, list[Outcome]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, params)
        for cluster_id, *values in cursor.fetchall():
            found.setdefault(cluster_id, []).append(Outcome(*values))
    return found


def forget(before: datetime) -> Iterator[int]:
    """Delete the forecasts from before that time, the oldest first; yields how many each short
    transaction has deleted."""
    old = StartForecast.objects.filter(made_at__lt=before).order_by("made_at")
    while ids := list(old.values_list("pk", flat=True)[:MOST_DELETED]):
        deleted, _ = StartForecast.objects.filter(pk__in=ids).delete()
        yield deleted
