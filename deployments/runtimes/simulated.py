"""The simulated runtime runs no containers: a deployment starts at once and ends by the clock."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class Fate(StrEnum):
    """How a deployment ends by itself."""

    COMPLETED = "COMPLETED"
    MAX_RUNTIME_EXCEEDED = "MAX_RUNTIME_EXCEEDED"


class Due(NamedTuple):
    at: datetime
    fate: Fate


def due(
    started_at: datetime, simulated_runtime_s: float | None, max_runtime_s: int | None
) -> Due | None:
    """When and how a deployment ends that started at that time; None if it never ends by itself.

    A deployment whose work takes exactly as long as its limit has completed.
    """
    if simulated_runtime_s is not None and (
        max_runtime_s is None or simulated_runtime_s <= max_runtime_s
    ):
        return Due(started_at + timedelta(seconds=simulated_runtime_s), Fate.COMPLETED)
    if max_runtime_s is not None:
        return Due(started_at + timedelta(seconds=max_runtime_s), Fate.MAX_RUNTIME_EXCEEDED)
    return None
