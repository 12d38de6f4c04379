"""From deliveries to the receivers: one turn of a worker for one webhook.

A turn sends what is due, oldest first, for TURN_S at most, and each attempt may take CALL_S. The
threads are those of passes over runtimes, so webhooks get a few of them, and an organization two: a
slow receiver delays its own deliveries and nothing else. The address of each connection is judged
as those of tenants' endpoints are, and no redirect is followed.
"""

import json
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import NamedTuple
from uuid import UUID

import urllib3
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from urllib3.exceptions import HTTPError

from clusters.endpoints import address_policy
from deployments.runtimes.base import Access, RuntimeUnavailable
from deployments.runtimes.limits import within
from deployments.runtimes.transport import pool_manager
from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery, WebhookFormat
from deployments.webhooks import services, signing
from mlops_platform.api.throttling.slots import Slots
from mlops_platform.coordination.locks import try_lock
from mlops_platform.database.clock import database_now
from mlops_platform.sealing import Unsealable, unseal

logger = logging.getLogger(__name__)

SLOTS = Slots(all=4, organization=2)  # of the threads of this process
TURN_S = 20.0
CALL_S = 10.0
AT_ONCE = 50
# After each failed attempt, in seconds; then the delivery has failed for good, after 28 hours.
PAUSES_S = (5, 30, 120, 600, 3600, 3 * 3600, 8 * 3600, 16 * 3600)
JITTER = 0.2
MOST_ERROR = 300
LONGEST_SUBJECT = 150
GONE = 410


class Outcome(NamedTuple):
    """`answer` is the status, None where there was none; `error` is empty where it was taken."""

    answer: int | None
    error: str


Send = Callable[[Webhook, WebhookDelivery], Outcome]


def take_turn(webhook_id: UUID, send: Send | None = None) -> None:
    """Send what is due of a webhook, unless another worker does."""
    webhook = Webhook.objects.filter(pk=webhook_id, enabled=True).first()
    if webhook is None:
        return
    keys = {"organization": str(webhook.organization_id)}
    if not SLOTS.acquire(keys):
        return  # the timer asks again
    try:
        with try_lock(f"webhook:{webhook_id}") as locked:
            ways = {WebhookFormat.EMAIL: mail}
            way = send or ways.get(WebhookFormat(webhook.format), post)
            if locked and _send_due(webhook, way):
                services.request(webhook_id)
    finally:
        SLOTS.release(keys)


def _send_due(webhook: Webhook, send: Send) -> bool:
    """Whether more is due."""
    until = time.monotonic() + TURN_S
    now = database_now()
    if webhook.not_before is not None and webhook.not_before > now:
        return False
    pending = webhook.deliveries.filter(status=DeliveryStatus.PENDING, next_at__lte=now)
    due = list(pending.order_by("next_at", "pk")[: AT_ONCE + 1])
    for delivery in due[:AT_ONCE]:
        if time.monotonic() > until:
            return True
        if not _note(webhook, delivery, send(webhook, delivery)):
            return False
    return len(due) > AT_ONCE


def post(webhook: Webhook, delivery: WebhookDelivery) -> Outcome:
    """One attempt."""
    body = delivery.body.encode()
    headers = {"content-type": "application/json", "user-agent": "mlops-platform"}
    if webhook.format == WebhookFormat.STANDARD:
        try:
            secret = unseal(webhook.secret)[services.SECRET]
        except (Unsealable, KeyError):
            return Outcome(None, "Its secret cannot be opened: make another webhook.")
        headers |= signing.headers(secret, f"msg_{delivery.pk.hex}", int(time.time()), body)
    access = Access(url=webhook.url, guard=address_policy.refusal)
    pools = pool_manager(access, timeout=urllib3.Timeout(total=CALL_S))
    try:
        with within(CALL_S, by_endpoint=True):
            answer = pools.request(
                "POST",
                webhook.url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            status = answer.status
            answer.close()
    except (HTTPError, OSError, RuntimeUnavailable, ValueError) as error:
        return Outcome(None, _said(error))
    finally:
        pools.clear()
    return Outcome(status, "" if 200 <= status < 300 else f"The receiver answered {status}.")


def mail(webhook: Webhook, delivery: WebhookDelivery) -> Outcome:
    """One attempt. A member who has left, or has another address, gets nothing any more."""
    if not settings.EMAIL_HOST:
        return Outcome(None, "This platform sends no mail.")
    if not services.is_of_member(webhook.organization_id, webhook.url):
        return Outcome(None, "It is no verified address of a member any more.")
    text = json.loads(delivery.body)["text"]
    subject = " ".join(text.split())[:LONGEST_SUBJECT]
    more = (
        f"{settings.PUBLIC_URL}/console/\n\nAn ADMIN of your organization has asked for this mail."
    )
    try:
        send_mail(subject, f"{text}\n\n{more}\n", None, [webhook.url])
    except (SMTPException, OSError) as error:
        return Outcome(None, f"The mail server did not take it ({type(error).__name__}).")
    return Outcome(None, "")


def _said(error: BaseException) -> str:
    """What may be shown to an organization: no address that a name led to."""
    if isinstance(error, address_policy.Unresolvable) or "resolve" in str(error).lower():
        return "The name of the host could not be resolved."
    if "operator" in str(error):
        return "The host leads to where only an operator may attach."
    if isinstance(error, TimeoutError | RuntimeUnavailable) or "timed out" in str(error):
        return f"The receiver took longer than {CALL_S:.0f} seconds."
    return f"The receiver could not be reached ({type(error).__name__})."


def _note(webhook: Webhook, delivery: WebhookDelivery, outcome: Outcome) -> bool:
    """Write what became of the attempt; returns whether to go on with the next delivery."""
    now = database_now()
    delivery.attempts += 1
    delivery.answer, delivery.error = outcome.answer, outcome.error[:MOST_ERROR]
    if not outcome.error:
        delivery.status, delivery.finished_at = DeliveryStatus.DELIVERED, now
    elif delivery.attempts > len(PAUSES_S) or outcome.answer == GONE:
        delivery.status, delivery.finished_at = DeliveryStatus.FAILED, now
    else:
        delivery.next_at = now + _pause(delivery.attempts)
    with transaction.atomic():
        columns = ["attempts", "answer", "error", "status", "finished_at", "next_at"]
        WebhookDelivery.objects.filter(pk=delivery.pk).update(
            **{name: getattr(delivery, name) for name in columns}
        )
        return _note_standing(webhook, outcome, now)


def _note_standing(webhook: Webhook, outcome: Outcome, now: datetime) -> bool:
    """Of the receiver as a whole: after a success it is sound; while it does not answer, the others
    wait too; where that lasts, it is switched off."""
    rows = Webhook.objects.filter(pk=webhook.pk)
    # An ADMIN may have changed or deleted it during the attempt: that stays, and ends the turn.
    same = rows.filter(enabled=True, url=webhook.url)
    if not outcome.error:
        if webhook.failing_since is not None:
            webhook.failures, webhook.failing_since, webhook.not_before = 0, None, None
            rows.update(failures=0, failing_since=None, not_before=None)
        return same.exists()
    refuses = outcome.answer is not None and 400 <= outcome.answer < 500
    webhook.failing_since = webhook.failing_since or now
    webhook.failures += 1
    if not refuses or outcome.answer == 429:
        webhook.not_before = now + _pause(webhook.failures)
    columns = ("failing_since", "failures", "not_before")
    changes = {name: getattr(webhook, name) for name in columns}
    lasts = now - webhook.failing_since > timedelta(hours=settings.WEBHOOK_OFF_AFTER_H)
    if lasts or outcome.answer == GONE:
        changes["enabled"] = webhook.enabled = False
    is_same = bool(same.update(**changes))
    if is_same and not webhook.enabled:
        services.record_switched_off(webhook)
        logger.warning("webhook switched off", extra={"webhook_id": str(webhook.pk)})
    return is_same and webhook.enabled and refuses and outcome.answer != 429


def _pause(attempts: int) -> timedelta:
    """Longer from attempt to attempt, and never the same for all."""
    seconds = PAUSES_S[min(attempts, len(PAUSES_S)) - 1]
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))
