"""The next events of some organizations after a position, whatever is wanted of them.

A reader looks at WINDOW events at most, and filters these. So a request costs the same however much
has happened in an organization in which it wants little, and its cursor moves on past the rest.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from mlops_platform.api.answers.commit_order import Horizon, Position, horizon

TABLE = "deployments_deploymentevent"
WINDOW = 2000

# A range of `event_by_organization` for each organization.
_READ = """
SELECT e.transaction_id, e.id, e.at, o.id, e.deployment_id, e.cluster_id, e.actor_id, e.type
  FROM unnest(%(organizations)s::uuid[]) o(id)
 CROSS JOIN LATERAL (
       SELECT transaction_id, id, at, deployment_id, cluster_id, actor_id, type
         FROM deployments_deploymentevent
        WHERE organization_id = o.id AND transaction_id < %(horizon)s
          AND (transaction_id, id) > (%(transaction)s, %(row)s)
        ORDER BY transaction_id, id LIMIT %(most)s) e
 ORDER BY 1, 2 LIMIT %(most)s
"""

# Reads what the retention is about to delete, of the beginning of the same range.
_OLDEST = """
SELECT transaction_id, id FROM deployments_deploymentevent
 WHERE organization_id = %(organization)s AND transaction_id < %(horizon)s AND at >= %(at)s
 ORDER BY transaction_id, id LIMIT 1
"""
GRACE = timedelta(hours=1)


class Entry(NamedTuple):
    """What there is to filter by of an event."""

    position: Position
    at: datetime
    organization_id: UUID
    deployment_id: UUID | None
    cluster_id: UUID
    actor_id: UUID | None
    type: str


class Window(NamedTuple):
    """`end` is where the next window begins; `more`: it may have events already. All that was
    written before `at` has been passed: None, all that there is."""

    entries: list[Entry]
    end: Position
    more: bool
    at: datetime | None


def kept() -> timedelta:
    """How old a cursor may be: since then no event and no deployment was deleted that it has not
    passed. An hour less than events are kept, for transactions that take long."""
    days = min(settings.EVENTS_RETENTION_DAYS, settings.DEPLOYMENTS_RETENTION_DAYS)
    return timedelta(days=days) - GRACE


def oldest(organization_id: UUID, seen: Horizon) -> tuple[Position, datetime]:
    """Before the oldest event from which on a client may read, and no earlier than which that was
    written: it has an hour before the next cursor expires. One query."""
    at = seen.at - kept() + GRACE
    params: dict[str, Any] = {
        "organization": organization_id,
        "horizon": seen.transaction,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, params)
        row = cursor.fetchone()
    return (Position(row[0], row[1] - 1) if row else seen.position), at


def seen_now() -> Horizon:
    """How far the feed may be read now. One query."""
    return horizon(TABLE)


def read(
    organizations: Collection[UUID], after: Position, seen: Horizon, most: int = WINDOW
) -> Window:
    """The next `most` events that are before the horizon. One query."""
    params: dict[str, Any] = {
        "organizations": list(organizations),
        "transaction": after.transaction,
        "row": after.row,
        "horizon": seen.transaction,
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, params)
        entries = [Entry(Position(*row[:2]), *row[2:]) for row in cursor.fetchall()]
    if len(entries) == most:
        return Window(entries, entries[-1].position, True, entries[-1].at)
    return Window(entries, max(after, seen.position), False, None)
