"""Records which deployment was started with which version of a secret."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from mlops_platform.database.clock import database_now
from organizations.models import Secret, SecretUse

MOST_KEPT = 1000  # uses of one secret


class Use(NamedTuple):
    secret_id: UUID
    version: int
    deployment_id: UUID
    attempt: int
    user_id: UUID


def record_uses(uses: Collection[Use]) -> None:
    """Record the uses; one that is recorded already stays as it is.

    One insert and one update however many there are, and for each secret one statement that deletes
    what is older than its newest MOST_KEPT.
    """
    if not uses:
        return
    now = database_now()
    rows = [SecretUse(at=now, **use._asdict()) for use in sorted(uses)]
    ids = sorted({use.secret_id for use in uses})
    with transaction.atomic():
        # A secret that was deleted since it was read takes no use: its row is locked until then.
        there = Secret.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
        known = set(there.values_list("pk", flat=True))
        SecretUse.objects.bulk_create(
            [row for row in rows if row.secret_id in known], ignore_conflicts=True
        )
        Secret.objects.filter(pk__in=known).update(last_used_at=now)
        for secret_id in known:
            newest = SecretUse.objects.filter(secret_id=secret_id).order_by("-pk")
            oldest = newest.values("pk")[MOST_KEPT : MOST_KEPT + 1]
            SecretUse.objects.filter(secret_id=secret_id, pk__lte=oldest).delete()
