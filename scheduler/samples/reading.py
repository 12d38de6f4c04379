"""Reads the samples of a cluster as a curve of bounded length."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

MOST_POINTS = 1_500
USUAL_POINTS = 300  # as many as a picture shows
MINUTE_S, DAY_S = 60, 86_400
STEPS = (MINUTE_S, 300, 900, 3_600, 21_600, DAY_S)
USUAL_SPAN = timedelta(days=1)

# Means of floating-point numbers: those of PostgreSQL's integers are of the type numeric, and slow.
_READ = """
WITH sampled AS (
    SELECT date_bin(%(step)s * interval '1 second', at, 'epoch') AS step, s.*
      FROM scheduler_clustersample s
     WHERE cluster_id = %(cluster)s AND at >= %(since)s AND at < %(until)s),
classes AS (
    SELECT step, jsonb_object_agg(name, number) AS numbers
      FROM (SELECT step, name, sum(number::float8) AS number
              FROM sampled, jsonb_each_text(waiting_by_priority) AS by(name, number)
             WHERE waiting > 0 GROUP BY step, name) summed
     GROUP BY step),
means AS (
    SELECT step, count(*) AS samples,
           avg(total_cpu_milli::float8), avg(allocated_cpu_milli::float8),
           avg(closed_cpu_milli::float8), avg(total_ram_mib::float8),
           avg(allocated_ram_mib::float8), avg(closed_ram_mib::float8), avg(total_gpu::float8),
           avg(allocated_gpu::float8), avg(closed_gpu::float8), avg(waiting::float8),
           avg(running::float8)
      FROM sampled GROUP BY step)
SELECT means.*, classes.numbers FROM means LEFT JOIN classes ON classes.step = means.step
 ORDER BY means.step
"""


# The share of GPUs, or where there are none of cores.
_SHARES = """
SELECT cluster_id, to_timestamp(floor(extract(epoch FROM at) / %(step)s) * %(step)s) AS step,
       avg(CASE WHEN total_gpu > 0 THEN allocated_gpu::float / total_gpu
                ELSE allocated_cpu_milli::float / nullif(total_cpu_milli, 0) END),
       avg(waiting)::float
  FROM scheduler_clustersample
 WHERE cluster_id = ANY(%(clusters)s) AND at >= %(since)s AND at < %(until)s
 GROUP BY cluster_id, step ORDER BY cluster_id, step
"""


@dataclass(frozen=True)
class Span:
    """From `since`, up to `until` without it, in steps that begin at multiples of `step_s`."""

    since: datetime
    until: datetime
    step_s: int

    @property
    def points(self) -> int:
        """How many there are at most."""
        return points_in(self.since, self.until, self.step_s)


def points_in(since: datetime, until: datetime, step_s: int) -> int:
    first, last = since.timestamp() // step_s, (until.timestamp() - 1e-6) // step_s
    return int(last - first) + 1


def usual_step_s(since: datetime, until: datetime) -> int:
    """The shortest of STEPS with which a picture shows the whole span; the longest for more."""
    fitting = (step for step in STEPS if points_in(since, until, step) <= USUAL_POINTS)
    return next(fitting, STEPS[-1])


def utilization(cluster_id: UUID, span: Span) -> list[dict[str, Any]]:
    """The means of each step, oldest first; a step without samples is left out. CPU is in cores,
    RAM in MiB. One query, which reads a row for each minute of the span."""
    params: dict[str, Any] = {
        "cluster": cluster_id,
        "since": span.since,
        "until": span.until,
        "step": span.step_s,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, params)
        return [_point(_Means(*row)) for row in cursor.fetchall()]


class Moment(NamedTuple):
    """The means of a step. `share` of what is scarce, from 0 to 1: of GPUs, or without any of
    cores."""

    at: datetime
    share: float
    waiting: float


def shares_of(cluster_ids: Sequence[UUID], span: Span) -> dict[UUID, list[Moment]]:
    """How full each of these clusters was, oldest first; none for one without samples. One query,
    which reads a row for each minute of the span and cluster."""
    params: dict[str, Any] = {
        "clusters": list(cluster_ids),
        "since": span.since,
        "until": span.until,
        "step": span.step_s,
    }
    found: dict[UUID, list[Moment]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SHARES, params)
        for cluster_id, at, share, waiting in cursor.fetchall():
            moment = Moment(at.astimezone(UTC), share or 0.0, waiting)
            found.setdefault(cluster_id, []).append(moment)
    return found


class _Means(NamedTuple):
    """A row of _READ."""

    at: datetime
    samples: int
    total_cpu: float
    allocated_cpu: float
    closed_cpu: float
    total_ram: float
    allocated_ram: float
    closed_ram: float
    total_gpu: float
    allocated_gpu: float
    closed_gpu: float
    waiting: float
    running: float
    classes: Any


def _point(means: _Means) -> dict[str, Any]:
    point: dict[str, Any] = {"at": means.at.astimezone(UTC)}
    for name, unit in (("cpu", 1000), ("ram", 1), ("gpu", 1)):
        total, allocated, closed = (
            getattr(means, f"{word}_{name}") / unit for word in ("total", "allocated", "closed")
        )
        available = max(total - allocated - closed, 0.0)
        values = {"total": total, "available": available, "allocated": allocated, "closed": closed}
        point |= {f"{word}_{name}": _rounded(value) for word, value in values.items()}
    point["waiting"], point["running"] = _rounded(means.waiting), _rounded(means.running)
    classes = json.loads(means.classes) if isinstance(means.classes, str) else means.classes or {}
    point["waiting_by_priority"] = {
        name: _rounded(float(number) / means.samples) for name, number in classes.items()
    }
    return point


def _rounded(value: float) -> int | float:
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded
