"""What Swagger says of the calls for webhooks."""

from deployments.api.webhooks.serializers import (
    AddedWebhookSerializer,
    DeliverySerializer,
    WebhookSerializer,
)
from mlops_platform.api.schema import Doc, error

FULL = error("As many as allowed", "too_many_webhooks", "An organization may have 20 webhooks.")
SENT_STILL = error("It is pending", "pending", "It is still being sent.")
SIGNED = (
    "Each event is POSTed as JSON with `webhook-id`, `webhook-timestamp` and `webhook-signature`, "
    "as Standard Webhooks has it, and again after growing pauses until an answer is 2xx."
)

WEBHOOKS = {
    "list": Doc("webhooks", "The webhooks of an organization (ADMIN)"),
    "retrieve": Doc("webhooks", "One webhook (ADMIN), and whether its receiver answers"),
    "create": Doc(
        "webhooks",
        "Send events of an organization to an address (ADMIN)",
        f"{SIGNED} The answer has the `secret` of the signatures: keep it, nothing shows it again.",
        answers={201: AddedWebhookSerializer, 409: FULL},
    ),
    "partial_update": Doc(
        "webhooks",
        "Change a webhook, or switch it on or off (ADMIN)",
        answers={200: WebhookSerializer},
    ),
    "destroy": Doc("webhooks", "Delete a webhook with its deliveries (ADMIN)"),
    "test": Doc(
        "webhooks",
        "Send a webhook an event of type PING (ADMIN)",
        "Its delivery says what has become of it.",
        answers={201: DeliverySerializer},
    ),
}
DELIVERIES = {
    "list": Doc("webhooks", "What was sent to a webhook, and what waits (ADMIN)", "Newest first."),
    "retrieve": Doc("webhooks", "One delivery of a webhook (ADMIN)"),
    "resend": Doc(
        "webhooks",
        "Send a delivery again (ADMIN)",
        "At once, with the same `webhook-id`.",
        answers={200: DeliverySerializer, 409: SENT_STILL},
    ),
}
