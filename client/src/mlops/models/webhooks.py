"""Webhooks: addresses that the platform calls for events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime


class Webhook(Record):
    """An address that is called for events of an organization."""

    id: str
    url: str
    format: str
    events: list[str]
    enabled: bool
    created_at: datetime
    created_by: str | None
    failing_since: datetime | None
    paused_until: datetime | None


class AddedWebhook(Webhook):
    """A new webhook; the secret that signs its calls is shown this once."""

    secret: str


class WebhookDelivery(Record):
    """A call of a webhook, made or to be made."""

    id: str
    type: str
    status: str
    attempts: int
    next_at: datetime
    answer: int | None
    error: str
    body: str
    created_at: datetime
    finished_at: datetime | None
