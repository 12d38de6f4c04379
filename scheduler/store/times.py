"""The engine's milliseconds and the tables' moments."""

from datetime import UTC, datetime


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )
