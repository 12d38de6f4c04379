"""Deletes deliveries that have been over for long: a part of the retention."""

from collections.abc import Iterator
from datetime import datetime

from deployments.subscriptions import DeliveryStatus, WebhookDelivery
from mlops_platform.api.ids import first_uuid_at

BATCH = 500


def forget(before: datetime) -> Iterator[int]:
    """Those from before that time which are not pending any more."""
    over = WebhookDelivery.objects.exclude(status=DeliveryStatus.PENDING)
    old = over.filter(pk__lt=first_uuid_at(before)).order_by("pk")
    while ids := list(old.values_list("pk", flat=True)[:BATCH]):
        yield WebhookDelivery.objects.filter(pk__in=ids).delete()[0]
