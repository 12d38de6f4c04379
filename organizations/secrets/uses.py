"""Records which deployment was started with which version of a secret."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import free
from organizations.models import Secret, SecretUse

MOST_KEPT = 1000  # uses of one secret


class Use(NamedTuple):
    secret_id: UUID
    version: int
    deployment_id: UUID
    attempt: int
    user_id: UUID


_KEEP = """
SELECT id FROM organizations_secret WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE SKIP LOCKED
"""


def record_uses(uses: Collection[Use]) -> None:
    """Record the uses; one that is recorded already stays as it is.

    One read where all are recorded already, as while an image is pulled. Else another one, one
    insert and one update however many there are, and for each secret one statement that deletes
    what is older than its newest MOST_KEPT.
    """
    uses = set(uses) - _recorded(uses)
    if not uses:
        return
    now = database_now()
    rows = [SecretUse(at=now, **use._asdict()) for use in sorted(uses)]
    ids = sorted({use.secret_id for use in uses})
    with transaction.atomic():
        known = _kept(ids)
        SecretUse.objects.bulk_create(
            [row for row in rows if row.secret_id in known], ignore_conflicts=True
        )
        # Of one that is being written this very moment it stays as it is: no start waits for that.
        free(Secret.objects.filter(pk__in=known)).update(last_used_at=now)
        for secret_id in known:
            newest = SecretUse.objects.filter(secret_id=secret_id).order_by("-pk")
            oldest = newest.values("pk")[MOST_KEPT : MOST_KEPT + 1]
            SecretUse.objects.filter(secret_id=secret_id, pk__lte=oldest).delete()


def _recorded(uses: Collection[Use]) -> set[Use]:
    """Those that are recorded already, and perhaps others. By the index of the constraint."""
    if not uses:
        return set()
    rows = SecretUse.objects.filter(
        secret__in={use.secret_id for use in uses},
        deployment_id__in={use.deployment_id for use in uses},
    )
    return {Use(*row) for row in rows.values_list(*Use._fields)}


def _kept(ids: Collection[UUID]) -> set[UUID]:
    """Those of the secrets that exist, which none deletes before the transaction ends. One that is
    being deleted is none of them: its uses go with it, and no start waits for that."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [list(ids)])
        return {id_ for (id_,) in cursor.fetchall()}
