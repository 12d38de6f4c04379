"""Webhooks of organizations, and what was sent to them."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from organizations.models import Organization


class WebhookFormat(models.TextChoices):
    """How an event is sent."""

    STANDARD = "standard", "As in the feed, signed (Standard Webhooks)"
    SLACK = "slack", 'A sentence: {"text": …}'
    EMAIL = "email", "A sentence, by mail to a member"


class Webhook(models.Model):
    """An address to which an organization's events are sent (webhooks/).

    The `url` of mail is the address of a member. `events` are types of events, of which none stands
    for all. What was read of the feed for it, up to the position, has its deliveries; in another
    life of the database it begins anew. While sends fail, `failing_since` is set, and nothing is
    sent before `not_before`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="webhooks"
    )
    url = models.CharField(max_length=300)
    format = models.CharField(max_length=8, choices=WebhookFormat.choices)
    events = models.JSONField(default=list, blank=True)
    secret = models.TextField(editable=False)  # sealed
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        editable=False,
    )
    life = models.CharField(max_length=12, editable=False)
    transaction_id = models.BigIntegerField(editable=False)
    row = models.BigIntegerField(editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    not_before = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.url


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(models.Model):
    """An event for a webhook. Its id is the `webhook-id` of each attempt, so that a receiver knows
    an event that it has had."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    type = models.CharField(max_length=32)
    body = models.TextField()
    status = models.CharField(max_length=9, default=DeliveryStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    answer = models.PositiveIntegerField(null=True)  # the status of the last one
    error = models.CharField(max_length=300, default="")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
            models.Index(
                fields=["webhook", "next_at"], condition=Q(status="pending"), name="delivery_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} ({self.status})"
