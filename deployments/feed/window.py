"""The next events of some organizations after a position, whatever is wanted of them.

A feed is made of two tables, each in the order of (transaction_id, id): the events of deployments,
and those of all else (organizations/events/). What one transaction has written to both comes in
this order: a row of the second table is at the position of its id and LATER.

A reader looks at WINDOW events at most, and filters these. So a request costs the same however much
has happened in an organization in which it wants little, and its cursor moves on past the rest.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from mlops_platform.api.answers.commit_order import Horizon, Position, horizon

TABLE = "deployments_deploymentevent"
LATER = 2**62
"""Between the ids of the two tables."""
WINDOW = 2000
DEPLOYMENT = "deployment"
CLUSTER = "cluster"


class Part(Enum):
    """What is read of a feed."""

    ALL = "all"
    DEPLOYMENTS = "deployments"  # the first table
    ELSE = "else"  # the second


# A range of `event_by_organization` for each organization. Events of clusters in the first table
# are from earlier versions.
_OF_DEPLOYMENTS = """
SELECT transaction_id, id, at, deployment_id, cluster_id, actor_id, type,
       CASE WHEN deployment_id IS NULL THEN 'cluster' ELSE 'deployment' END AS target_type,
       coalesce(deployment_id, cluster_id)::text AS target_id, NULL AS target_name
  FROM deployments_deploymentevent
 WHERE organization_id = o.id AND transaction_id < %(horizon)s
   AND (transaction_id, id) > (%(transaction)s, %(row)s)
 ORDER BY transaction_id, id LIMIT %(most)s
"""
# A range of `organization_event` for each.
_OF_ELSE = """
SELECT transaction_id, id + %(later)s AS id, at, NULL AS deployment_id, cluster_id, actor_id, type,
       target_type, target_id, target_name
  FROM organizations_organizationevent
 WHERE organization_id = o.id AND transaction_id < %(horizon)s
   AND (transaction_id, id) > (%(transaction)s, %(row_of_else)s)
   AND target_type <> ALL(%(hidden)s)
 ORDER BY transaction_id, id LIMIT %(most)s
"""
_PARTS = {
    Part.ALL: f"({_OF_DEPLOYMENTS}) UNION ALL ({_OF_ELSE})",
    Part.DEPLOYMENTS: _OF_DEPLOYMENTS,
    Part.ELSE: _OF_ELSE,
}
_READ = """
SELECT e.transaction_id, e.id, e.at, o.id, e.deployment_id, e.cluster_id, e.actor_id, e.type,
       e.target_type, e.target_id, e.target_name
  FROM unnest(%(organizations)s::uuid[]) o(id) CROSS JOIN LATERAL ({part}) e
 ORDER BY 1, 2 LIMIT %(most)s
"""
_READS = {part: _READ.replace("{part}", text) for part, text in _PARTS.items()}

# Reads what the retention is about to delete, of the beginning of the same ranges.
_OLDEST_OF = """
(SELECT transaction_id, {id} AS id FROM {table}
  WHERE organization_id = %(organization)s AND transaction_id < %(horizon)s AND at >= %(at)s
  ORDER BY transaction_id, id LIMIT 1)
"""
_OLDEST_PARTS = {
    Part.DEPLOYMENTS: _OLDEST_OF.format(id="id", table=TABLE),
    Part.ELSE: _OLDEST_OF.format(id="id + %(later)s", table="organizations_organizationevent"),
}
_OLDEST = {
    **_OLDEST_PARTS,
    Part.ALL: " UNION ALL ".join(_OLDEST_PARTS.values()) + " ORDER BY 1, 2 LIMIT 1",
}
GRACE = timedelta(hours=1)


class Entry(NamedTuple):
    """What there is to filter by of an event."""

    position: Position
    at: datetime
    organization_id: UUID
    deployment_id: UUID | None
    cluster_id: UUID | None
    actor_id: UUID | None
    type: str
    target_type: str
    target_id: str | None
    target_name: str | None


class Window(NamedTuple):
    """`end` is where the next window begins; `more`: it may have events already. All that was
    written before `at` has been passed: None, all that there is."""

    entries: list[Entry]
    end: Position
    more: bool
    at: datetime | None


def kept(part: Part = Part.ALL) -> timedelta:
    """How old a cursor may be: since then no event and no deployment was deleted that it has not
    passed. An hour less than events are kept, for transactions that take long."""
    days = settings.AUDIT_RETENTION_DAYS
    if part is not Part.ELSE:
        days = min(days, settings.EVENTS_RETENTION_DAYS, settings.DEPLOYMENTS_RETENTION_DAYS)
    return timedelta(days=days) - GRACE


def oldest(
    organization_id: UUID, seen: Horizon, part: Part = Part.ALL
) -> tuple[Position, datetime]:
    """Before the oldest event from which on a client may read, and no earlier than which that was
    written: it has an hour before the next cursor expires. One query."""
    at = seen.at - kept(part) + GRACE
    params: dict[str, Any] = {
        "organization": organization_id,
        "later": LATER,
        "horizon": seen.transaction,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST[part], params)
        row = cursor.fetchone()
    return (Position(row[0], row[1] - 1) if row else seen.position), at


def seen_now() -> Horizon:
    """How far the feed may be read now. One query."""
    return horizon(TABLE)


def read(
    organizations: Collection[UUID],
    after: Position,
    seen: Horizon,
    most: int = WINDOW,
    *,
    part: Part = Part.ALL,
    hidden: Collection[str] = (),
) -> Window:
    """The next `most` events that are before the horizon, but for those of `hidden` types of
    targets. One query."""
    params: dict[str, Any] = {
        "organizations": list(organizations),
        "transaction": after.transaction,
        "row": after.row,
        "row_of_else": max(after.row - LATER, 0),
        "horizon": seen.transaction,
        "most": most,
        "later": LATER,
        "hidden": list(hidden),
    }
    with connection.cursor() as cursor:
        cursor.execute(_READS[part], params)
        entries = [Entry(Position(*row[:2]), *row[2:]) for row in cursor.fetchall()]
    if len(entries) == most:
        return Window(entries, entries[-1].position, True, entries[-1].at)
    return Window(entries, max(after, seen.position), False, None)
