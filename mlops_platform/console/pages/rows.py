"""A deployment as lists show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from accounts.models import User
from deployments.api.representation import present_page
from deployments.models import ENDED, Deployment
from deployments.names import named
from deployments.queries.deployments import without_large
from deployments.queries.lists import DeploymentList
from mlops_platform.admin.markup import request

SHOWN = ("cluster", "organization_id", "owner", "sweep", "reason", "queue_position", "eta")
"""What of the API's answer a row has beside its own columns."""


@dataclass(frozen=True)
class Row:
    id: UUID
    name: str
    status: str
    cluster: str
    cluster_id: UUID
    owner: str
    is_mine: bool
    priority: str
    asks_for: str
    image: str
    labels: Mapping[str, str]
    reason: str
    position: int | None
    eta: str
    starts_by: datetime | None
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    sweep: str | None
    sweep_id: UUID | None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def for_rows(deployments: DeploymentList) -> DeploymentList:
    """With what rows show of other tables, so that `rows_of` needs no query for it."""
    related = ("owner", "cluster__organization", "sweep")
    return without_large(deployments).select_related(*related).defer("sweep__parameters")


def rows_of(user: User, deployments: Sequence[Deployment]) -> list[Row]:
    """In their order, as a list of the API shows them. The queries of present_page."""
    shown = present_page(deployments, SHOWN)
    return [_row(user, *pair) for pair in zip(deployments, shown, strict=True)]


def _row(user: User, row: Deployment, shown: Mapping[str, Any]) -> Row:
    eta = shown["eta"] or {}
    return Row(
        id=row.pk,
        name=named(row.pk, row.name, shown["owner"], row.image, row.kind).name,
        status=row.status,
        cluster=shown["cluster"],
        cluster_id=row.cluster_id,
        owner=shown["owner"],
        is_mine=row.owner_id == user.pk,
        priority=row.priority_class.name,
        asks_for=request(row.cpu_milli, row.ram_mib, row.gpu, row.replicas),
        image=row.image,
        labels=row.labels,
        reason=(shown["reason"] or {}).get("message", ""),
        position=shown["queue_position"],
        eta=eta.get("message", ""),
        starts_by=parse_datetime(eta["p50"]) if eta.get("p50") else None,
        submitted_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        sweep=shown["sweep"],
        sweep_id=row.sweep_id,
    )
