"""An organization's webhooks, for its ADMINs: where events are sent, and what was sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import QueryDict

from accounts.models import User
from deployments.api.feed.parameters import TYPES
from deployments.api.webhooks.serializers import NewWebhookSerializer
from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery, WebhookFormat
from deployments.webhooks import services
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from mlops_platform.console.pages.organization.members import Issued
from organizations.access import require
from organizations.models import Role

MOST_WEBHOOKS = 50
MOST_DELIVERIES = 50


@dataclass(frozen=True)
class WebhookLine:
    id: UUID
    url: str
    format: str
    events: str
    enabled: bool
    failing_since: datetime | None


@dataclass(frozen=True)
class DeliveryLine:
    id: UUID
    webhook_id: UUID
    url: str
    type: str
    status: str
    attempts: int
    said: str
    created_at: datetime
    may_repeat: bool


@dataclass(frozen=True)
class WebhooksPage:
    id: UUID
    name: str
    webhooks: list[WebhookLine]
    deliveries: list[DeliveryLine]
    formats: tuple[tuple[str, str], ...] = tuple(WebhookFormat.choices)
    types: tuple[str, ...] = tuple(TYPES)
    issued: Issued | None = None
    faults: Mapping[str, str] = field(default_factory=dict)


def webhooks_page(user: User, organization_id: str, **more: Any) -> WebhooksPage:
    """404 for strangers, 403 for members who are no ADMINs. Three queries."""
    organization = require(user, organization_id, Role.ADMIN).organization
    rows = list(Webhook.objects.filter(organization=organization).order_by("-pk")[:MOST_WEBHOOKS])
    urls = {each.pk: each.url for each in rows}
    newest = WebhookDelivery.objects.filter(webhook__in=list(urls)).defer("body").order_by("-pk")
    return WebhooksPage(
        organization.pk,
        organization.name,
        [_line(each) for each in rows],
        [_delivery(each, urls[each.webhook_id]) for each in newest[:MOST_DELIVERIES]],
        **more,
    )


def _line(webhook: Webhook) -> WebhookLine:
    return WebhookLine(
        webhook.pk,
        webhook.url,
        webhook.format,
        ", ".join(webhook.events) or "all",
        webhook.enabled,
        webhook.failing_since,
    )


def _delivery(row: WebhookDelivery, url: str) -> DeliveryLine:
    said = row.error or (f"answered {row.answer}" if row.answer else "")
    return DeliveryLine(
        row.pk,
        row.webhook_id,
        url,
        row.type,
        row.status,
        row.attempts,
        said,
        row.created_at,
        row.status != DeliveryStatus.PENDING,
    )


# --- What its buttons do ------------------------------------------------------------------------


def do(user: User, organization_id: str, form: QueryDict) -> Issued:
    """Carries out the button `do` of the form; raises what the service does, and 400 naming the
    field at fault."""
    act = ACTIONS.get(form.get("do", ""))
    if act is None:
        raise not_found()
    key = require(user, organization_id, Role.ADMIN).organization_id
    return act(user, key, form)


def _add(user: User, key: UUID, form: QueryDict) -> Issued:
    body: dict[str, Any] = {"url": form.get("url", "").strip(), "format": form.get("format", "")}
    if events := form.getlist("events"):
        body["events"] = events
    read = dict(NewWebhookSerializer().run_validation(body))
    made = services.add_webhook(user, key, **read)
    return Issued("The secret of its signatures, which is shown once:", made.secret)


def _switch(user: User, key: UUID, form: QueryDict) -> Issued:
    webhook = _webhook(key, form)
    services.change_webhook(webhook, {"enabled": not webhook.enabled})
    return Issued(f"It is switched {'off' if webhook.enabled else 'on'}.")


def _delete(user: User, key: UUID, form: QueryDict) -> Issued:
    services.delete_webhook(_webhook(key, form))
    return Issued("The webhook is deleted.")


def _test(user: User, key: UUID, form: QueryDict) -> Issued:
    services.ping(user, _webhook(key, form))
    return Issued("A test is on its way.")


def _send_again(user: User, key: UUID, form: QueryDict) -> Issued:
    webhook, delivery_id = _webhook(key, form), parse_uuid(form.get("delivery", ""))
    delivery = webhook.deliveries.filter(pk=delivery_id).first() if delivery_id else None
    if delivery is None:
        raise not_found()
    services.send_again(webhook, delivery)
    return Issued("It is sent again.")


ACTIONS: dict[str, Callable[[User, UUID, QueryDict], Issued]] = {
    "add": _add,
    "switch": _switch,
    "delete": _delete,
    "test": _test,
    "send_again": _send_again,
}


def _webhook(key: UUID, form: QueryDict) -> Webhook:
    webhook_id = parse_uuid(form.get("webhook", ""))
    own = Webhook.objects.filter(organization=key)
    webhook = own.filter(pk=webhook_id).first() if webhook_id else None
    if webhook is None:
        raise not_found()
    return webhook
