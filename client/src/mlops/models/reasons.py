"""What many answers share: reasons, forecasts, amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime


class Reason(Record):
    """Why it waits, or how it ended: a stable code and a sentence."""

    code: str
    message: str
    details: dict[str, Any]


class Eta(Record):
    """When it would start, by forecast of `made_at`."""

    p50: datetime | None
    p90: datetime | None
    basis: str | None
    message: str
    made_at: datetime


class Allocation(Record):
    """Cores, MiB and GPUs in use."""

    cpu: float
    ram: int
    gpu: int
