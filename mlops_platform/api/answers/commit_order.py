"""The order in which changes become visible, and the cursors of clients that follow it.

A written row keeps the id of its transaction (PostgreSQL's xid8, in `transaction_id`). A
transaction gets its id at its first write and commits later, so a row may become visible after rows
of later transactions. A reader therefore goes no further than the horizon, the oldest transaction
that still runs: what is before it has been committed or rolled back for good, and no row can appear
behind a cursor that was given out. A transaction that runs for long delays readers, until the
deadlines of environment/database.py end it; it never makes them miss a row.

The ids begin anew in a restored or upgraded database, and may be given twice after a failover. So a
cursor names the life of the database for which it was made, and counts in no other.
"""

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection
from rest_framework.exceptions import APIException

from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import milliseconds, moment

NOW = "now"
"""Instead of a cursor: from now on."""
NO_CURSOR = f"Not a cursor: give the Next-Cursor of the answer before, or the word {NOW}."

# The statement's snapshot is older than what pg_stat_activity shows, so each transaction of this
# database with an id before `next` is shown there as long as it runs. Those of the server's other
# databases do not count, unless sessions are hidden from this role: then the snapshot decides. An
# id there has 32 bits: `behind` is how far it is behind `next`; more than half of all are ahead.
#
# The life is that of the server (another one after an upgrade or a restore), its timeline (another
# one after a failover or a recovery to a point in time), the database and the table (others once a
# dump has been restored).
_READ = """
WITH now AS MATERIALIZED (
     SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
            pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next,
            (SELECT oid FROM pg_database WHERE datname = current_database()) AS database),
     running AS (
     SELECT now.next - behind AS id, a.xact_start,
            a.query = '<insufficient privilege>' AS hidden
       FROM now JOIN pg_stat_activity a
            ON a.datid = now.database AND a.pid <> pg_backend_pid()
       LEFT JOIN LATERAL (
            SELECT (now.next - a.backend_xid::text::bigint) & 4294967295 AS behind) of_next
         ON of_next.behind < 2147483648)
SELECT (SELECT CASE WHEN bool_or(hidden) THEN now.oldest ELSE least(min(id), now.next) END
          FROM running),
       now.next, clock_timestamp(),
       (SELECT least(min(xact_start), statement_timestamp()) FROM running
         WHERE id IS NOT NULL),
       concat_ws('.', (SELECT system_identifier FROM pg_control_system()),
                 left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), now.database,
                 %s::regclass::oid)
  FROM now
"""


class Position(NamedTuple):
    """After a row of a transaction, in the order of (transaction_id, id)."""

    transaction: int
    row: int


START = Position(0, 0)


class Horizon(NamedTuple):
    """How far a reader may go: all transactions before `transaction` are over."""

    transaction: int
    next_transaction: int  # no transaction has this id yet, nor a later one
    at: datetime  # by the database's clock
    settled_at: datetime
    """No transaction that still runs has taken the time, by the database's clock, before this: it
    takes it after it got its id."""
    life: str

    @property
    def position(self) -> Position:
        """After all that may be read."""
        return Position(self.transaction, 0)


class CursorExpired(APIException):
    """410: what has changed since the cursor is not known any more."""

    status_code = 410
    default_code = "cursor_expired"
    default_detail = (
        "What has changed since this cursor is not known any more: the database was restored or "
        "replaced, or the cursor is too old. Begin anew."
    )


def horizon(table: str) -> Horizon:
    """How far readers of the table may go now. One query; read the rows after it, not before."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, [table])
        transaction, next_transaction, at, settled_at, life = cursor.fetchone()
    life = hashlib.sha256(life.encode()).hexdigest()[:12]
    return Horizon(transaction, next_transaction, at, settled_at, life)


def cursor_of(position: Position, seen: Horizon, at: datetime | None = None) -> str:
    """The cursor of a client that has read up to the position: up to a row written at `at`, or up
    to what there is now."""
    parts = [seen.life, *position, milliseconds(at or seen.at)]
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(
    cursor: str, seen: Horizon, *, parameter: str, kept: timedelta | None = None
) -> Position:
    """Where a cursor, or the word `now`, goes on. `kept`: how long rows stay, None for ever.

    400 that names the parameter for what is no cursor, 410 for one that does not count any more.
    """
    if cursor == NOW:
        return seen.position
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        life, transaction, row, at_ms = json.loads(text)
        if any(
            type(each) is not int or not 0 <= each < 2**63 for each in (transaction, row, at_ms)
        ):
            raise ValueError
    except (TypeError, ValueError, RecursionError):
        raise Invalid({parameter: NO_CURSOR}) from None
    too_old = kept is not None and moment(min(at_ms, milliseconds(seen.at))) < seen.at - kept
    if life != seen.life or transaction > seen.next_transaction or too_old:
        raise CursorExpired
    return Position(transaction, row)
