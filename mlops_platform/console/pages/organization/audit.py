"""Who changed what in an organization, newest first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from accounts.models import User
from organizations.access import require
from organizations.events.models import (
    OPEN_TO_MEMBERS,
    ActorKind,
    OrganizationEvent,
    OrganizationEventType,
)
from organizations.models import Role

PER_PAGE = 50
FILTERS = ("actor", "target", "type")
BY = {ActorKind.CYCLE: "the scheduler", ActorKind.PLATFORM: "the platform"}


@dataclass(frozen=True)
class AuditLine:
    at: datetime
    type: str
    target_type: str
    target: str
    actor: str
    said: str
    request_id: str


@dataclass(frozen=True)
class AuditPage:
    id: UUID
    name: str
    lines: list[AuditLine]
    given: Mapping[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = tuple(OrganizationEventType.values)
    older: str = ""
    """The query string of the next page."""


def audit_page(user: User, organization_id: str, asked: QueryDict) -> AuditPage:
    """404 where the user is no member; members see what the API shows them. Two queries."""
    membership = require(user, organization_id, Role.VIEWER)
    organization = membership.organization
    rows = OrganizationEvent.objects.filter(organization_id=organization.pk)
    if membership.role != Role.ADMIN:
        rows = rows.filter(target_type__in=OPEN_TO_MEMBERS)
    given = {name: asked.get(name, "").strip()[:200] for name in FILTERS}
    if given["actor"]:
        rows = rows.filter(actor_name__iexact=given["actor"])
    if given["target"]:
        rows = rows.filter(target_name=given["target"])
    if given["type"]:
        rows = rows.filter(type=given["type"])
    if (before := _position(asked.get("before", ""))) is not None:
        transaction, row = before
        earlier = Q(transaction_id__lt=transaction) | Q(transaction_id=transaction, id__lt=row)
        rows = rows.filter(earlier, transaction_id__lte=transaction)
    found = list(rows.order_by("-transaction_id", "-id")[: PER_PAGE + 1])
    shown = found[:PER_PAGE]
    older = ""
    if len(found) > len(shown):
        last = f"{shown[-1].transaction_id}.{shown[-1].pk}"
        older = "?" + urlencode({**{k: v for k, v in given.items() if v}, "before": last})
    lines = [_line(each) for each in shown]
    return AuditPage(organization.pk, organization.name, lines, given, older=older)


def _position(text: str) -> tuple[int, int] | None:
    transaction, dot, row = text.partition(".")
    if dot and len(text) < 40 and transaction.isdecimal() and row.isdecimal():
        return int(transaction), int(row)
    return None


def _line(event: OrganizationEvent) -> AuditLine:
    by = event.actor_name or BY.get(ActorKind(event.actor_kind), event.actor_kind)
    if event.api_key:
        by = f"{by} with the key {event.api_key}"
    elif event.actor_kind == ActorKind.OPERATOR:
        by = f"{by}, an operator"
    return AuditLine(
        at=event.at,
        type=event.type,
        target_type=event.target_type.replace("_", " "),
        target=event.target_name,
        actor=by,
        said=_changes(event.before, event.after),
        request_id=event.request_id or "",
    )


def _changes(before: Any, after: Any) -> str:
    old, new = before or {}, after or {}
    if old and new:
        pairs = [
            (name, f"{_value(old.get(name))} → {_value(value)}") for name, value in new.items()
        ]
    else:
        pairs = [(name, _value(value)) for name, value in (new or old).items()]
    return "; ".join(f"{name.replace('_', ' ')}: {said}" for name, said in pairs)


def _value(value: Any) -> str:
    if value in (None, "", [], {}):
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
