"""UUIDs as text, the time that a UUIDv7 carries, and milliseconds.

Every id is a UUIDv7 (RFC 9562): its first 48 bits are the milliseconds since 1970 at which it was
made. So the order of ids is the order of creation, in PostgreSQL as in Redis.
"""

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
_RANDOM_BITS = 80  # after the milliseconds; version and variant among them


def parse_uuid(text: UUID | str) -> UUID | None:
    """The UUID that the text spells, whatever its letter case and hyphens; None where it spells
    none."""
    try:
        return UUID(str(text))
    except ValueError:
        return None


def first_uuid_at(at: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond: ids made since then are not smaller."""
    return UUID(int=milliseconds(at) << _RANDOM_BITS)


def time_of(id_: UUID) -> datetime:
    """The millisecond at which a UUIDv7 was made."""
    return EPOCH + timedelta(milliseconds=id_.int >> _RANDOM_BITS)


def milliseconds(at: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (at - EPOCH) // _MILLISECOND


def moment(milliseconds: int) -> datetime:
    """The time in UTC so many milliseconds after 1970."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def draw_ids(count: int) -> list[tuple[UUID, datetime]]:
    """UUIDv7s by the database's clock, each with a microsecond of its own. One query.

    The transaction has an id before it asks for the time: so no transaction without one will ever
    draw an earlier id (commit_order.py). The twelve bits after the version are the part of the
    millisecond (RFC 9562, 6.2, method 3): the order of ids is the order of their microseconds.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp() FROM pg_current_xact_id()")
        [(now,)] = cursor.fetchall()
    first = (now - EPOCH) // _MICROSECOND
    drawn = []
    for number in range(count):
        whole, rest = divmod(first + number, 1000)
        high = whole << 16 | 7 << 12 | rest * 4096 // 1000
        low = 2 << 62 | int.from_bytes(os.urandom(8)) >> 2
        drawn.append((UUID(int=high << 64 | low), now + number * _MICROSECOND))
    return drawn
