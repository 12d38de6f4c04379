"""Usage, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime


class Usage(Record):
    """What was allocated in a window, by groups."""

    begin: datetime
    end: datetime
    group_by: list[str]
    results: list[UsageRow]
    total: UsageSum


class UsageSum(Record):
    """Hours of allocations, what of them was lost, and outcomes."""

    gpu_hours: float
    core_hours: float
    gib_hours: float
    gpu_hours_lost_to_eviction: float
    core_hours_lost_to_eviction: float
    gib_hours_lost_to_eviction: float
    gpu_hours_lost_to_failure: float
    core_hours_lost_to_failure: float
    gib_hours_lost_to_failure: float
    gpu_hours_lost_to_node_loss: float
    core_hours_lost_to_node_loss: float
    gib_hours_lost_to_node_loss: float
    waiting_hours: float
    started: int
    completed: int
    failed: int
    evicted: int
    stopped: int
    lost: int
    cost: float | None


class UsageRow(UsageSum):
    """The usage of one group; it has the fields of what was grouped by."""

    user_id: str
    user: str
    cluster_id: str
    cluster: str
    priority: str
    label: str | None
    day: str
    node_label: str | None


class Price(Record):
    """What an hour costs on nodes with these labels."""

    node_labels: dict[str, Any]
    gpu_hour: float
    core_hour: float
    gib_hour: float


class Prices(Record):
    """The prices of an organization, the first that fits first."""

    prices: list[Price]
