"""The bodies and answers of the calls for webhooks."""

from typing import Any

from rest_framework import serializers

from clusters.endpoints.attachment import LONGEST_URL
from deployments.api.feed.parameters import TYPES
from deployments.subscriptions import DeliveryStatus, WebhookFormat
from deployments.webhooks.services import PING
from mlops_platform.api.fields import BoundedList, Choice, Flag, Text
from mlops_platform.api.serializers import StrictSerializer

ID = "0199d1c5-8c3e-7d15-9b57-1f2d6e5a4c33"
URL = "https://hooks.example.org/mlops"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # of the specification
EXAMPLE: dict[str, Any] = {
    "id": ID,
    "url": URL,
    "format": "standard",
    "events": ["FAILED", "NODE_AWAY", "PREEMPTED"],
    "enabled": True,
    "created_at": "2026-03-01T09:00:00Z",
    "created_by": "ada",
    "failing_since": None,
    "paused_until": None,
}
NEW = {"url": URL, "format": "standard", "events": EXAMPLE["events"]}


class EventTypes(BoundedList):
    """Types of events, in any order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Choice([(each, each) for each in TYPES]), most=len(TYPES), **options)


class NewWebhookSerializer(StrictSerializer):
    url = Text(
        max_length=LONGEST_URL,
        help_text="https:// or http://, without a query. It must not lead to the platform's own "
        "hosts, as endpoints must not.",
    )
    format = Choice(
        WebhookFormat.choices,
        required=False,
        help_text='`standard`: the event as the feed has it, signed. `slack`: `{"text": …}`. '
        "`email`: a sentence, to a member whose verified address is the `url`.",
    )
    events = EventTypes(required=False, help_text="The types to send; without any, all.")

    class Meta:
        swagger_schema_fields = {"example": NEW}


class ChangedWebhookSerializer(NewWebhookSerializer):
    url = Text(max_length=LONGEST_URL, required=False)
    enabled = Flag(required=False, help_text="Switched on again, it gets the events from then on.")

    class Meta:
        swagger_schema_fields = {"example": {"events": ["FAILED"], "enabled": True}}


class WebhookSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    url = serializers.CharField()
    format = serializers.ChoiceField(WebhookFormat.choices)
    events = serializers.ListField(
        child=serializers.ChoiceField(TYPES), help_text="The types that are sent; none: all."
    )
    enabled = serializers.BooleanField(
        help_text="False also where the platform has switched it off: see `failing_since`."
    )
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(
        source="created_by.username", default=None, allow_null=True, help_text="The ADMIN's name."
    )
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="Null where the last attempt was taken."
    )
    paused_until = serializers.DateTimeField(
        source="not_before", allow_null=True, help_text="Nothing is sent before, as it has failed."
    )

    class Meta:
        ref_name = "Webhook"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE}


class AddedWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text="Of the signatures. It is never shown again.")

    class Meta:
        ref_name = "AddedWebhook"
        swagger_schema_fields: dict[str, Any] = {"example": {**EXAMPLE, "secret": SECRET}}


class DeliverySerializer(serializers.Serializer):
    id = serializers.UUIDField(
        help_text="`webhook-id` is `msg_` and this without hyphens, in each attempt."
    )
    type = serializers.ChoiceField([*TYPES, PING], help_text="Of the event.")
    status = serializers.ChoiceField(DeliveryStatus.choices)
    attempts = serializers.IntegerField()
    next_at = serializers.DateTimeField(help_text="When it is sent next, where it is pending.")
    answer = serializers.IntegerField(
        allow_null=True, help_text="The status of the last answer; null where none came."
    )
    error = serializers.CharField(help_text="Of the last attempt; empty where it was taken.")
    body = serializers.CharField(help_text="What is sent.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        ref_name = "WebhookDelivery"
        swagger_schema_fields: dict[str, Any] = {
            "example": {
                "id": "0199d1c5-9a02-7b6e-8f11-7c2f0d3e4b5a",
                "type": "FAILED",
                "status": "pending",
                "attempts": 1,
                "next_at": "2026-03-01T09:00:36Z",
                "answer": 502,
                "error": "The receiver answered 502.",
                "body": '{"type": "FAILED", "timestamp": "2026-03-01T09:00:00Z", "data": {}}',
                "created_at": "2026-03-01T09:00:01Z",
                "finished_at": None,
            }
        }
