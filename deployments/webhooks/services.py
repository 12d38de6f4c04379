"""Adds, changes and deletes webhooks, and sends again; ADMIN only, as the caller has checked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from accounts.models import User
from clusters.endpoints.attachment import BadUrl, check_address, check_host, split_url
from deployments.feed import window
from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery, WebhookFormat
from deployments.webhooks import signing
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from mlops_platform.sealing import seal
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import Target, differing, record
from organizations.models import Membership, Organization

SCHEMES = ("https", "http")
SECRET = "secret"  # noqa: S105  # a key of the sealed column
TASK = "deployments.tasks.send_webhook"
PING = "PING"
SETTINGS = ("url", "format", "events", "enabled")
STALE_S = 60


class NewWebhook(NamedTuple):
    """A webhook with its secret, which no answer shows again."""

    webhook: Webhook
    secret: str


def add_webhook(
    actor: User,
    organization_id: UUID,
    url: str,
    format: str = WebhookFormat.STANDARD,  # noqa: A002  # as the API calls it
    events: Sequence[str] = (),
) -> NewWebhook:
    """Events from now on are sent there. 400 for an address where a tenant may attach nothing, and
    for mail to other than a member's verified address; 409 where there are as many webhooks as
    allowed."""
    refuse_target(organization_id, url, format)
    secret = signing.new_secret()
    with transaction.atomic():
        _lock(organization_id)
        most = settings.MAX_WEBHOOKS
        if Webhook.objects.filter(organization=organization_id).count() >= most:
            raise Conflict(f"An organization may have {most} webhooks.", "too_many_webhooks")
        seen = window.seen_now()
        webhook = Webhook.objects.create(
            organization_id=organization_id,
            url=url,
            format=format,
            events=sorted({*events}),
            secret=seal({SECRET: secret}),
            created_at=seen.at,
            created_by=actor,
            life=seen.life,
            transaction_id=seen.position.transaction,
            row=seen.position.row,
        )
        _record(Type.WEBHOOK_CREATED, webhook, None, _shown(webhook))
    return NewWebhook(webhook, secret)


def change_webhook(webhook: Webhook, changes: Mapping[str, Any]) -> Webhook:
    """Set what is given. One that is switched on again begins with the events from now on, and with
    what still waits for it."""
    if "url" in changes or "format" in changes:
        given = {"url": webhook.url, "format": webhook.format, **changes}
        refuse_target(webhook.organization_id, given["url"], given["format"])
    with transaction.atomic():
        locked = lock_row(Webhook.objects.all(), webhook.pk)
        if locked is None:
            raise not_found()
        before = _shown(locked)
        for name, value in changes.items():
            setattr(locked, name, sorted({*value}) if name == "events" else value)
        if locked.enabled and not before["enabled"]:
            seen = window.seen_now()
            locked.life, (locked.transaction_id, locked.row) = seen.life, seen.position
        if locked.enabled or "url" in changes:
            locked.failures, locked.failing_since, locked.not_before = 0, None, None
        locked.save()
        was, became = differing(before, _shown(locked))
        if became:
            _record(Type.WEBHOOK_CHANGED, locked, was, became)
    return locked


def delete_webhook(webhook: Webhook) -> None:
    """With its deliveries."""
    with transaction.atomic():
        locked = lock_row(Webhook.objects.all(), webhook.pk, no_key=False)
        if locked is None:
            raise not_found()
        _record(Type.WEBHOOK_DELETED, locked, _shown(locked), None)
        locked.delete()


def ping(actor: User, webhook: Webhook) -> WebhookDelivery:
    """Send an event that says nothing, to see whether it arrives."""
    text = f"This is a test that {actor.username} has asked for."
    now = database_now()
    body = {"type": PING, "timestamp": now.isoformat(), "data": {"text": text}}
    if webhook.format != WebhookFormat.STANDARD:
        body = {"text": text}
    with transaction.atomic():
        if lock_row(Webhook.objects.all(), webhook.pk) is None:
            raise not_found()
        found = WebhookDelivery.objects.create(
            webhook=webhook, type=PING, body=json.dumps(body), created_at=now, next_at=now
        )
        _record(Type.WEBHOOK_TESTED, webhook, None, None)
        transaction.on_commit(lambda: request(webhook.pk))
    return found


def send_again(webhook: Webhook, delivery: WebhookDelivery) -> WebhookDelivery:
    """At once, with the same id, body and, from now on, all attempts. 409 where it is pending."""
    with transaction.atomic():
        locked = lock_row(WebhookDelivery.objects.all(), delivery.pk)
        if locked is None:
            raise not_found()
        if locked.status == DeliveryStatus.PENDING:
            raise Conflict("It is still being sent.", "pending")
        locked.status, locked.attempts, locked.finished_at = DeliveryStatus.PENDING, 0, None
        locked.next_at = database_now()
        locked.save()
        _record(Type.WEBHOOK_RESENT, webhook, None, {"delivery": str(delivery.pk)})
        transaction.on_commit(lambda: request(webhook.pk))
    return locked


def request(webhook_id: UUID) -> None:
    """Ask a worker to send what is due. Never raises for want of Redis: the timer asks again."""
    try:
        current_app.send_task(TASK, (str(webhook_id),), expires=STALE_S)
    except (RedisError, OperationalError, OSError):
        return


def refuse_target(organization_id: UUID, url: str, format_: str) -> None:
    """400 for what nothing may be sent to. Call it outside transactions."""
    if format_ != WebhookFormat.EMAIL:
        refuse_url(url)
    elif not settings.EMAIL_HOST:
        raise Invalid({"format": "This platform sends no mail."})
    elif not is_of_member(organization_id, url):
        raise Invalid({"url": "Give the e-mail address of a member who has verified it."})


def is_of_member(organization_id: UUID, address: str) -> bool:
    """Whether a member has verified the address. One query."""
    members = Membership.objects.filter(organization=organization_id, user__is_active=True)
    return members.filter(user__verified_email=address.lower()).exists()


def refuse_url(url: str) -> None:
    """400 for an address that leads where a tenant may attach nothing (clusters/endpoints/).
    Resolves the name, which takes time: call it outside transactions."""
    try:
        parts = split_url(url)
        if parts.scheme not in SCHEMES:
            raise BadUrl("Give https://host/path.")
        check_host(parts)
        check_address(parts)
    except BadUrl as fault:
        raise Invalid({"url": str(fault)}) from None


def record_switched_off(webhook: Webhook) -> None:
    _record(Type.WEBHOOK_SWITCHED_OFF, webhook, {"enabled": True}, {"enabled": False})


def _record(type_: Type, webhook: Webhook, before: Any, after: Any) -> None:
    """Its host is its name: the path of an address may be as good as a password, so events show a
    digest, by which another one is seen to be another."""
    host = urlsplit(webhook.url).hostname
    target = Target(TargetType.WEBHOOK, webhook.pk, host or webhook.format)
    record(webhook.organization_id, type_, target, before=before, after=after)


def _shown(webhook: Webhook) -> dict[str, Any]:
    """What events show of it."""
    shown = {name: getattr(webhook, name) for name in SETTINGS}
    return {**shown, "url": hashlib.sha256(webhook.url.encode()).hexdigest()[:12]}


def _lock(organization_id: UUID) -> None:
    if lock_row(Organization.objects.filter(deleted_at=None), organization_id) is None:
        raise not_found()
