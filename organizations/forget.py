"""Deletes invitations that ended long ago: a part of the retention (scheduler/retention/)."""

from collections.abc import Iterator
from datetime import timedelta

from mlops_platform.database.clock import database_now
from organizations.models import Invitation

BATCH = 500
KEPT_FOR = timedelta(days=90)
"""After its end an invitation still says for so long by which link a member came."""


def invitations() -> Iterator[int]:
    """How many rows each short transaction has deleted."""
    ended = Invitation.objects.filter(expires_at__lt=database_now() - KEPT_FOR)
    while ids := list(ended.order_by("expires_at").values_list("pk", flat=True)[:BATCH]):
        deleted, _ = Invitation.objects.filter(pk__in=ids).delete()
        yield deleted
