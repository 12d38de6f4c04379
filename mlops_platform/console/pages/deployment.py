"""One deployment: its state, what it asks for, where it runs, and its timeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import User
from deployments.api.representation import present_one
from deployments.house import rules
from deployments.models import ENDED, Status
from deployments.names import named
from deployments.queries.deployments import deployment_for
from mlops_platform.admin.markup import request as asked_for
from mlops_platform.console.pages.timeline import Event, timeline_of
from organizations.access import reaches, role_in
from organizations.models import Role


@dataclass(frozen=True)
class DeploymentPage:
    id: UUID
    name: str
    shown: Mapping[str, Any]
    """As the API shows it."""
    asks_for: str
    command: str
    reason: str
    reason_code: str
    eta: str
    position: int | None
    events: list[Event]
    may_act: bool
    may_stop: bool
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    replicas: range
    attempts: range

    @property
    def status(self) -> str:
        return str(self.shown["status"])

    @property
    def waits(self) -> bool:
        return self.status == Status.QUEUED


def deployment_page(user: User, deployment_id: str) -> DeploymentPage:
    """404 where the user may not see it."""
    row = deployment_for(user, deployment_id)
    shown = present_one(row, user)
    reason, eta = shown["reason"] or {}, shown["eta"] or {}
    role = role_in(user, row.cluster.organization_id)
    may_act = role is not None and reaches(role, Role.DEVELOPER)
    may_stop = may_act and row.status not in ENDED
    return DeploymentPage(
        id=row.pk,
        name=named(row.pk, row.name, shown["owner"], row.image, row.kind).name,
        shown=shown,
        asks_for=asked_for(row.cpu_milli, row.ram_mib, row.gpu, row.replicas),
        command=" ".join([*shown["command"], *shown["args"]]),
        reason=reason.get("message", ""),
        reason_code=reason.get("code", ""),
        eta=eta.get("message", ""),
        position=shown["queue_position"],
        events=timeline_of(row),
        may_act=may_act,
        may_stop=may_stop and rules.why_not(rules.refuse_stop, user, [row]) is None,
        submitted_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        replicas=range(row.replicas),
        attempts=range(row.attempt, 0, -1),
    )
