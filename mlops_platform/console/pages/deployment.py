"""One deployment: its state, what it asks for, where it runs, and its timeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from accounts.models import User
from deployments.api.event_serializers import EventSerializer
from deployments.api.representation import present_one
from deployments.models import ENDED, Deployment, Status
from deployments.names import named
from deployments.queries.deployments import deployment_for, events_of
from deployments.queries.names import named_in
from mlops_platform.admin.markup import request as asked_for
from organizations.access import reaches, role_in
from organizations.models import Role

MOST_EVENTS = 200


@dataclass(frozen=True)
class Event:
    at: datetime
    type: str
    actor: str | None
    text: str


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

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def deployment_page(user: User, deployment_id: str) -> DeploymentPage:
    """404 where the user may not see it."""
    row = deployment_for(user, deployment_id)
    shown = present_one(row, user)
    reason, eta = shown["reason"] or {}, shown["eta"] or {}
    role = role_in(user, row.cluster.organization_id)
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
        events=_events(row),
        may_act=role is not None and reaches(role, Role.DEVELOPER),
        submitted_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        replicas=range(row.replicas),
        attempts=range(row.attempt, 0, -1),
    )


def _events(row: Deployment) -> list[Event]:
    """The newest first. Two queries."""
    newest = list(events_of(row).order_by("-id")[:MOST_EVENTS])
    shown = EventSerializer(newest, many=True, context={"named": named_in(newest)}).data
    return [
        Event(
            at=parse_datetime(each["at"]) or row.created_at,
            type=each["type"],
            actor=each["actor"],
            text=in_words(each["details"]),
        )
        for each in shown
    ]


def in_words(details: Mapping[str, Any]) -> str:
    """The details of an event in a line: its reason's sentence, and what has changed."""
    parts = []
    for key, value in details.items():
        if key == "reason" and isinstance(value, Mapping):
            parts.append(str(value.get("message", value.get("code", ""))))
        elif isinstance(value, Mapping) and value.keys() >= {"from", "to"}:
            parts.append(f"{key.replace('_', ' ')}: {value['from']} → {value['to']}")
        elif key.endswith(("_name", "_owner", "_id")) or isinstance(value, Mapping):
            continue
        elif isinstance(value, list):
            if value and not isinstance(value[0], Mapping):
                parts.append(f"{key.replace('_', ' ')}: {', '.join(map(str, value))}")
        elif value not in (None, "") and not _is_id(value):
            parts.append(f"{key.replace('_', ' ')}: {value}")
    return "; ".join(parts)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 36 and value.count("-") == 4
