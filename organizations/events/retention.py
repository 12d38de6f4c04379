"""Deletes the events that have been kept long enough: a part of the retention."""

from collections.abc import Iterator
from datetime import datetime

from organizations.events.models import OrganizationEvent

BATCH = 500  # rows of one transaction
LOOKED_AT = 20_000


def forget(before: datetime) -> Iterator[int]:
    """Events from before that time, the oldest first; yields how many each short transaction has
    deleted. Ids are in the order of time."""
    events = OrganizationEvent.objects.order_by("pk")
    while True:
        head = events.values_list("pk", "at")[:BATCH]
        old = [pk for pk, at in head if at < before]
        if not old:
            return
        yield events.filter(pk__in=old).delete()[0]
