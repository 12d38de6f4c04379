"""Sums up what has ended, by days: the sums of many intervals are few rows.

An interval is summed once, after the day in which it ended (UTC), into each of the days that it
touches: also into days that were summed long before. Until then it is read itself, as what is open
is. So a sum is never wrong, only younger or older.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection

from deployments.usage.intervals import begin_of
from deployments.usage.measures import MEASURES, OF_INTERVAL, PARTS, days
from deployments.usage.models import DAY_MS, AllocationInterval, UsageOfDay
from mlops_platform.api.ids import milliseconds, moment

BATCH = 2000  # intervals of one transaction
BUDGET_S = 5.0  # of a turn: other tasks of the worker come between
LOOKED_AT = 20_000  # of the oldest, where old ones are deleted

_WHOSE = "organization_id, cluster_id, cluster, user_id, username, priority_class"
_SUM_UP = f"""
WITH ended AS (
    SELECT id FROM deployments_allocationinterval
     WHERE NOT is_summed AND end_ms < %(before_ms)s
     ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
summed AS (
    UPDATE deployments_allocationinterval i SET is_summed = true FROM ended
     WHERE i.id = ended.id RETURNING i.*),
parts AS (
    SELECT {", ".join(f"i.{name.strip()}" for name in _WHOSE.split(","))},
           w.begin_ms / {DAY_MS} AS day, CASE WHEN kind.by_label THEN i.labels END AS labels,
           i.node_labels, {", ".join(f"{OF_INTERVAL[name]} AS {name}" for name in MEASURES)}
      FROM summed i
      {days("coalesce(i.queued_ms, i.begin_ms)", "i.end_ms")}
     CROSS JOIN LATERAL (SELECT day.begin_ms, day.end_ms) w
      {PARTS}
     CROSS JOIN (VALUES (true), (false)) kind(by_label)),
sums AS (
    SELECT organization_id, cluster_id, max(cluster) AS cluster, user_id,
           max(username) AS username, priority_class, date '1970-01-01' + day::int AS day, labels,
           node_labels, {", ".join(f"sum({name})::bigint AS {name}" for name in MEASURES)}
      FROM parts GROUP BY organization_id, cluster_id, user_id, priority_class, day, labels,
                          node_labels)
INSERT INTO deployments_usageofday AS u
       ({_WHOSE}, day, labels, node_labels, digest, {", ".join(MEASURES)})
SELECT {_WHOSE}, day, labels, node_labels,
       md5(jsonb_build_array(cluster_id, user_id, priority_class, labels, node_labels)::text)::uuid,
       {", ".join(MEASURES)}
  FROM sums ORDER BY 1, day, 10
    ON CONFLICT (organization_id, day, digest) DO UPDATE
   SET cluster = excluded.cluster, username = excluded.username,
       {", ".join(f"{name} = u.{name} + excluded.{name}" for name in MEASURES)}
RETURNING 1
"""  # noqa: S608 - of constants

# Processes of a version before this one record nothing: while an upgrade goes on, what they start
# and end is found here.
_MISSING = """(
        SELECT d.* FROM deployments_deployment d
         WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT d.yielded
           AND NOT EXISTS (SELECT FROM deployments_allocationinterval i
                            WHERE i.deployment_id = d.id AND i.end_ms IS NULL))"""
_SINCE = "coalesce(d.admitted_at, d.started_at, d.queued_at)"
_BEGIN_MISSING = begin_of(_MISSING, _SINCE) + " WHERE c.deleted_at IS NULL"
_END_STRAY = """
UPDATE deployments_allocationinterval i
   SET end_ms = greatest(i.begin_ms, floor(extract(epoch FROM stray.at) * 1000)::bigint),
       outcome = stray.outcome
  FROM (SELECT o.id, coalesce(d.finished_at, d.queued_at, statement_timestamp()) AS at,
               CASE d.status WHEN 'COMPLETED' THEN 'completed' WHEN 'STOPPED' THEN 'stopped'
                   WHEN 'FAILED' THEN 'failed' ELSE 'evicted' END AS outcome
          FROM deployments_allocationinterval o
          LEFT JOIN deployments_deployment d ON d.id = o.deployment_id
         WHERE NOT o.is_summed AND o.end_ms IS NULL
           AND (d.id IS NULL OR d.yielded OR d.attempt <> o.attempt
                OR d.status NOT IN ('STARTING', 'RUNNING', 'STOPPING'))) stray
 WHERE i.id = stray.id AND i.end_ms IS NULL
"""


def sum_up(now: datetime, *, batch: int = BATCH) -> Iterator[int]:
    """Sum up what had ended before the day of `now` began; yields the number of each transaction's
    intervals. A caller may stop at any of them and begin anew later."""
    before_ms = milliseconds(now) // DAY_MS * DAY_MS
    params: dict[str, Any] = {"before_ms": before_ms, "batch": batch, "now_ms": before_ms}
    ended = AllocationInterval.objects.filter(is_summed=False, end_ms__lt=before_ms)
    while ended.exists():
        with connection.cursor() as cursor:
            cursor.execute(_SUM_UP, params)
            if not cursor.rowcount:  # all that is left is locked
                return
        yield batch


def take_turn(now: datetime) -> None:
    """Mend what processes of an older version have left, and sum up for BUDGET_S."""
    began = time.monotonic()
    mend()
    for _ in sum_up(now):
        if time.monotonic() - began > BUDGET_S:
            return


def mend() -> int:
    """Open and close intervals where they are not what is allocated; returns how many. Two
    queries."""
    changed = 0
    with connection.cursor() as cursor:
        for statement in (_END_STRAY, _BEGIN_MISSING):
            cursor.execute(statement)
            changed += cursor.rowcount
    return changed


def forget(before: datetime) -> Iterator[int]:
    """Delete intervals and sums of the days before that of `before`; yields how many, after each
    transaction."""
    before_ms = milliseconds(before) // DAY_MS * DAY_MS
    intervals, sums = AllocationInterval.objects, UsageOfDay.objects
    while True:
        head = intervals.order_by("pk").values_list("pk", "end_ms", "is_summed")[:LOOKED_AT]
        old = [
            pk for pk, end, is_summed in head if is_summed and end is not None and end < before_ms
        ]
        if not old:
            break
        yield intervals.filter(pk__in=old[:BATCH]).delete()[0]
    old_days = sums.filter(day__lt=moment(before_ms).date()).order_by("pk")
    while ids := list(old_days.values_list("pk", flat=True)[:BATCH]):
        yield sums.filter(pk__in=ids).delete()[0]
