"""The events that a request has written, to either table of the feed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deployments.models import DeploymentEvent
from organizations.models import OrganizationEvent

TABLES: tuple[type[Any], ...] = (DeploymentEvent, OrganizationEvent)


@contextmanager
def events_written() -> Iterator[list[Any]]:
    """Fills the list with what the block has written."""
    newest = [
        model.objects.order_by("-pk").values_list("pk", flat=True).first() for model in TABLES
    ]
    found: list[Any] = []
    yield found
    for model, pk in zip(TABLES, newest, strict=True):
        found += model.objects.filter(pk__gt=pk or 0)
