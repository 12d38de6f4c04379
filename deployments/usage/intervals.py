"""Writes allocation intervals: in the transaction that moves the counters of allocated capacity,
and in the same words. What has an open interval is what the counters include.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from deployments.usage.models import Outcome

# An expression of a time, in milliseconds.
_MS = "floor(extract(epoch FROM {}) * 1000)::bigint"

_COLUMNS = """
       (organization_id, cluster_id, cluster, deployment_id, deployment, attempt, user_id, username,
        priority_class, labels, node_id, node, node_labels, replicas, cpu_milli, ram_mib, gpu,
        queued_ms, begin_ms, end_ms, outcome, is_summed)
"""

# Of rows `d` of deployments as they are now; `moment` is when that began. A node that is deleted
# while it is in use is gone from its table, not from the placement.
BEGIN = """
INSERT INTO deployments_allocationinterval {columns}
SELECT c.organization_id, c.id, c.name, d.id, d.name, d.attempt, u.id, u.username, p.name, d.labels,
       (part.each ->> 'node_id')::uuid, coalesce(part.each ->> 'node', ''),
       coalesce(n.labels, '{{}}'), part.replicas, d.cpu_milli * part.replicas,
       d.ram_mib * part.replicas, d.gpu * part.replicas,
       CASE part.number WHEN 1 THEN least({queued_ms}, begin.ms) END,
       begin.ms, NULL, '', false
  FROM {source} d
  JOIN clusters_cluster c ON c.id = d.cluster_id
  JOIN accounts_user u ON u.id = d.owner_id
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 CROSS JOIN LATERAL (
       SELECT each, number, (each ->> 'replicas')::bigint AS replicas
         FROM jsonb_array_elements(d.placement) WITH ORDINALITY AS line(each, number)) part
 CROSS JOIN LATERAL (SELECT {begin_ms} AS ms) begin
  LEFT JOIN clusters_node n ON n.id = (part.each ->> 'node_id')::uuid
"""


def begin_of(source: str, moment: str) -> str:
    """The statement that opens the intervals of the rows of a table, or of a part of a statement
    that has changed them."""
    queued_ms, begin_ms = _MS.format("d.queued_at"), _MS.format(moment)
    return BEGIN.format(columns=_COLUMNS, source=source, queued_ms=queued_ms, begin_ms=begin_ms)


# Of rows `line` of deployments whose allocations end: the work of what `keeps` it is not lost.
END = f"""
UPDATE deployments_allocationinterval i
   SET end_ms = greatest(i.begin_ms, now.ms), outcome = line.outcome,
       lost_ms = CASE WHEN line.keeps OR line.outcome NOT IN ('evicted', 'failed', 'lost') THEN NULL
           ELSE least(greatest(i.begin_ms, {_MS.format("line.saved_at")}),
                      greatest(i.begin_ms, now.ms)) END
  FROM {{lines}}, (SELECT {_MS.format("%(now)s::timestamptz")} AS ms) now
 WHERE i.deployment_id = line.id AND i.end_ms IS NULL
"""  # noqa: S608 - of constants

_BEGIN = begin_of("deployments_deployment", "%(at)s::timestamptz") + (
    " WHERE d.id = ANY(%(ids)s::uuid[])"
)
_END = END.format(
    lines="unnest(%(ids)s::uuid[], %(outcomes)s::text[], %(saved)s::timestamptz[], "
    "%(keeps)s::bool[]) AS line(id, outcome, saved_at, keeps)"
)

_ENDED_WAITING = f"""
INSERT INTO deployments_allocationinterval {_COLUMNS}
SELECT c.organization_id, c.id, c.name, d.id, d.name, d.attempt, u.id, u.username, p.name, d.labels,
       NULL, '', '{{}}', 0, 0, 0, 0, least({_MS.format("d.queued_at")}, ended.ms), ended.ms,
       ended.ms, %(outcome)s, false
  FROM deployments_deployment d
  JOIN clusters_cluster c ON c.id = d.cluster_id
  JOIN accounts_user u ON u.id = d.owner_id
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 CROSS JOIN LATERAL (SELECT {_MS.format("d.finished_at")} AS ms) ended
 WHERE d.id = ANY(%(ids)s::uuid[])
"""  # noqa: S608 - of constants

_END_IN_CLUSTER = f"""
UPDATE deployments_allocationinterval
   SET end_ms = greatest(begin_ms, {_MS.format("statement_timestamp()")}), outcome = 'stopped'
 WHERE organization_id = %s AND cluster_id = %s AND NOT is_summed AND end_ms IS NULL
"""  # noqa: S608 - of constants


class Ended(NamedTuple):
    """An allocation that ends: `saved_at` is its last checkpoint; one that `keeps` its work, such
    as a service, loses none."""

    deployment_id: UUID
    outcome: Outcome
    saved_at: datetime | None = None
    keeps: bool = False


def begin(deployment_ids: Sequence[UUID], at: datetime) -> None:
    """Open the intervals of deployments that have a placement now, from `at` on. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, {"ids": list(map(str, deployment_ids)), "at": at})


def end(lines: Iterable[Ended], now: datetime) -> None:
    """Close all open intervals of deployments. One query, none for none."""
    columns = list(map(list, zip(*lines, strict=True)))
    if columns:
        names = ("ids", "outcomes", "saved", "keeps")
        with connection.cursor() as cursor:
            cursor.execute(_END, {**dict(zip(names, columns, strict=True)), "now": now})


def end_waiting(deployment_ids: Sequence[UUID], outcome: Outcome) -> None:
    """Record deployments that have ended in the queue, at their `finished_at`. One query."""
    with connection.cursor() as cursor:
        ids = list(map(str, deployment_ids))
        cursor.execute(_ENDED_WAITING, {"ids": ids, "outcome": str(outcome)})


def end_in_cluster(organization_id: UUID, cluster_id: UUID) -> None:
    """For a cluster that is deleted with what runs in it. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_END_IN_CLUSTER, [str(organization_id), str(cluster_id)])
