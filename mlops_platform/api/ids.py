"""UUIDs as text, the time that a UUIDv7 carries, and milliseconds.

Every id is a UUIDv7 (RFC 9562): its first 48 bits are the milliseconds since 1970 at which it was
made. So the order of ids is the order of creation, in PostgreSQL as in Redis.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    return int(at.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    """The time in UTC so many milliseconds after 1970."""
    return EPOCH + timedelta(milliseconds=milliseconds)
