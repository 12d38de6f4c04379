"""Answers a submit that repeats an Idempotency-Key with the deployments of the first one.

The first row of a bulk has the bulk's key, with the digest of the whole bulk; so the key is unique
among all submits of its owner. The other rows have keys derived from it, with a space, which no
user's key has.
"""

import hashlib
from collections.abc import Sequence

from django.db import IntegrityError

from accounts.models import User
from deployments.models import Deployment
from mlops_platform.api.errors import Conflict, not_found


def keys_for(idempotency_key: str, count: int) -> list[str]:
    """The keys of a bulk's rows, in order."""
    base = hashlib.sha256(idempotency_key.encode()).hexdigest()
    return [idempotency_key, *(f"{base} {number}" for number in range(1, count))]


def first_answers(
    error: IntegrityError, user: User, keys: Sequence[str | None], digest: str
) -> list[Deployment]:
    """The rows with the keys on which an insert has failed, in order.

    409 where they were submitted with another body, 404 where the cluster was deleted since it was
    read. Any other error is raised again.
    """
    if "idempotency_key_unique" not in str(error):
        raise not_found() if "cluster_id" in str(error) else error
    found = {
        row.idempotency_key: row
        for row in Deployment.objects.filter(owner=user, idempotency_key__in=keys).select_related(
            "priority_class"
        )
    }
    first = found.get(keys[0])
    if first is None or first.idempotency_digest != digest or len(found) < len(keys):
        raise Conflict(
            "This Idempotency-Key came with another body before.", code="idempotency_key_reused"
        )
    return [found[key] for key in keys]
