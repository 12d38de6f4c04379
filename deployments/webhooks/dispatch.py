"""From the feed to deliveries: once a moment, what is new for each webhook.

Webhooks that have come equally far are read for together, as streams are (feed/broadcast.py). The
deliveries and the new position are written in one transaction, so that each event has one delivery.
A webhook with MOST_PENDING deliveries is read for no further: the feed keeps the rest.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from deployments.feed import pages, window
from deployments.feed.pages import FeedEvent
from deployments.feed.window import Entry
from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery, WebhookFormat
from deployments.webhooks import services
from mlops_platform.api.answers.commit_order import Horizon, Position
from mlops_platform.coordination.locks import try_lock
from mlops_platform.database.clock import database_now

MOST_PENDING = 1000
WINDOW = 500
MOST_WINDOWS = 10  # in one turn
LOCK = "webhooks:dispatch"
Shown = Mapping[str, Any]
Render = Callable[[Sequence[FeedEvent], Horizon], Sequence[Shown | None]]


def run(render: Render) -> None:
    """One query where there is no webhook. `render`: the events as the feed shows them."""
    with try_lock(LOCK) as locked:
        if locked:
            for _ in range(MOST_WINDOWS):
                if not _turn(render):
                    break
    _request_due()


def _turn(render: Render) -> bool:
    """Whether there may be more at once."""
    found = list(_with_room())
    if not found:
        return False
    seen = window.seen_now()
    places: dict[Position, list[Webhook]] = defaultdict(list)
    for webhook in found:
        position = Position(webhook.transaction_id, webhook.row)
        if webhook.life != seen.life:  # restored: positions of before mean nothing
            _move([webhook], seen.position, seen)
        elif position < seen.position:
            places[position].append(webhook)
    more = False
    for position, those in places.items():
        more |= _read(position, those, seen, render)
    return more


def _with_room() -> QuerySet[Webhook]:
    """Webhooks that may get deliveries. Of these it reads what is pending: most are over."""
    pending = WebhookDelivery.objects.filter(webhook=OuterRef("pk"), status=DeliveryStatus.PENDING)
    full = pending.order_by().values("pk")[MOST_PENDING - 1 : MOST_PENDING]
    return Webhook.objects.filter(~Exists(full), enabled=True, organization__deleted_at=None)


def _read(position: Position, webhooks: Sequence[Webhook], seen: Horizon, render: Render) -> bool:
    found = window.read({each.organization_id for each in webhooks}, position, seen, WINDOW)
    wanted = {
        each.pk: [entry for entry in found.entries if _wants(each, entry)] for each in webhooks
    }
    needed = {entry.position: entry for entries in wanted.values() for entry in entries}
    entries = [needed[key] for key in sorted(needed)]
    rows, count = pages.rows_of(entries)
    end = found.end if count == len(entries) else entries[count - 1].position
    shown = {
        pages.row_of(row): each
        for row, each in zip(rows, render(rows, seen), strict=True)
        if each is not None
    }
    now = database_now()
    with transaction.atomic():
        moved = _move(webhooks, end, seen, after=position)
        WebhookDelivery.objects.bulk_create(
            WebhookDelivery(
                webhook=webhook,
                type=entry.type,
                body=_body(webhook.format, shown[entry.position.row]),
                created_at=now,
                next_at=now,
            )
            for webhook in moved
            for entry in wanted[webhook.pk]
            if entry.position <= end and entry.position.row in shown
        )
    return found.more or end != found.end


def _move(
    webhooks: Sequence[Webhook], to: Position, seen: Horizon, *, after: Position | None = None
) -> list[Webhook]:
    """Those that are there still, and at the place `after`, locked."""
    rows = Webhook.objects.select_for_update().filter(pk__in=[each.pk for each in webhooks])
    if after is not None:
        rows = rows.filter(transaction_id=after.transaction, row=after.row, enabled=True)
    with transaction.atomic():
        there = {pk for (pk,) in rows.order_by("pk").values_list("pk")}
        Webhook.objects.filter(pk__in=there).update(
            life=seen.life, transaction_id=to.transaction, row=to.row
        )
    return [each for each in webhooks if each.pk in there]


def _wants(webhook: Webhook, entry: Entry) -> bool:
    if entry.organization_id != webhook.organization_id:
        return False
    return not webhook.events or entry.type in webhook.events


def _body(format_: str, event: Shown) -> str:
    if format_ != WebhookFormat.STANDARD:
        return json.dumps({"text": sentence(event)})
    body = {"type": event["type"], "timestamp": event["at"], "data": event}
    return json.dumps(body, default=str)


def sentence(event: Shown) -> str:
    """`train of ada in gpu-east: FAILED`."""
    target = event["target"]
    what = target["name"] or f"{target['type']} {target['id']}"
    if target["type"] != window.DEPLOYMENT:
        what = what if target["type"] == window.CLUSTER else f"{target['type']} {what}"
    of = f" of {event['owner']}" if event.get("owner") else ""
    is_cluster = target["type"] == window.CLUSTER
    where = f" in {event['cluster']}" if event.get("cluster") and not is_cluster else ""
    by = f" (by {event['actor']})" if event.get("actor") else ""
    return f"{what}{of}{where}: {event['type']}{by}"


def _request_due() -> None:
    """Ask for a turn for each webhook with deliveries that are due. One query."""
    now = database_now()
    due = WebhookDelivery.objects.filter(
        Q(webhook__not_before=None) | Q(webhook__not_before__lte=now),
        status=DeliveryStatus.PENDING,
        next_at__lte=now,
        webhook__enabled=True,
    )
    ids: set[UUID] = set(due.order_by().values_list("webhook", flat=True).distinct())
    for webhook_id in ids:
        services.request(webhook_id)
