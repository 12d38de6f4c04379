"""Sweeps: one template, many sets of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime

    from mlops.models.answers import Evicted
    from mlops.models.reasons import Reason


class Sweep(Record):
    """One template submitted with many sets of parameters."""

    id: str
    name: str
    cluster_id: str
    cluster: str
    organization_id: str
    organization: str
    owner_id: str
    owner: str
    max_parallel: int | None
    status: str
    total: int
    ended: int
    counts: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    parameters: list[dict[str, Any]]


class RetriedSweep(Record):
    """A sweep, and the deployments that try its failed members again."""

    retried: int
    submitted: list[str]
    submitted_names: list[str]
    sweep: Sweep


class StoppedSweep(Record):
    """A sweep, and how many of its members were stopped."""

    stopped: int
    sweep: Sweep


class SweepDryRun(Record):
    """How many members a sweep would have, and the first of them."""

    dry_run: bool
    total: int
    first: list[dict[str, Any]]
    starts_now: int | None
    waits: int | None
    evicts: list[Evicted]
    reason: Reason | None
    unknown: str | None
