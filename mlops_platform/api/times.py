"""Times that clients write."""

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime


def moment(text: str, *, in_utc: bool = False) -> datetime | None:
    """The time, in UTC; None for a text that is none or, without `in_utc`, names no zone.

    PostgreSQL takes no zone beyond 15:59 from UTC, which ISO 8601 allows.
    """
    try:
        time = parse_datetime(text)
        if time is not None and time.tzinfo is None:
            return time.replace(tzinfo=UTC) if in_utc else None
        return time and time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
