"""Answers a submit that repeats an Idempotency-Key with the deployments of the first one.

The first row of a bulk has the bulk's key, with the digest of the whole bulk; so the key is unique
among all submits of its owner. The other rows have keys derived from it, with a space, which no
user's key has.
"""

import hashlib
from collections.abc import Sequence

from django.utils.crypto import salted_hmac

from accounts.models import User
from deployments.models import Deployment
from deployments.signals import deployments_submitted
from mlops_platform.api.errors import Conflict

CHUNK = 500  # rows of one insert


def keys_for(idempotency_key: str, count: int) -> list[str]:
    """The keys of a bulk's rows, in order."""
    base = hashlib.sha256(idempotency_key.encode()).hexdigest()
    return [idempotency_key, *(f"{base} {number}" for number in range(1, count))]


def insert(rows: Sequence[Deployment], digest: str) -> list[Deployment]:
    """Insert rows with keys, or return those of the first submit with these keys, in order.

    409 where that submit had another body; the caller's transaction must then roll back. A key that
    is there already makes no statement fail: PostgreSQL would log it with all its values. A query
    more than an insert without keys has, and another one where a submit is repeated.
    """
    rows[0].idempotency_digest = _kept(digest)
    Deployment.objects.bulk_create(rows, batch_size=CHUNK, ignore_conflicts=True)
    owners = Deployment.objects.filter(owner=rows[0].owner_id)
    same = owners.filter(idempotency_key__in=[row.idempotency_key for row in rows])
    inserted = set(same.values_list("pk", flat=True)).intersection(row.pk for row in rows)
    if len(inserted) == len(rows):
        deployments_submitted.send(Deployment, deployments=rows)
        return list(rows)
    found = {row.idempotency_key: row for row in same.select_related("priority_class")}
    first = found.get(rows[0].idempotency_key)
    known = first is not None and first.idempotency_digest in (digest, _kept(digest))
    if inserted or not known or len(found) < len(rows):
        raise _reused()
    return [found[row.idempotency_key] for row in rows]


def earlier(user: User, idempotency_key: str, digest: str, most: int) -> list[Deployment]:
    """The deployments of an earlier submit of up to `most` with this key, in order; none where
    there was none. 409 where that submit had another body. One query."""
    keys = keys_for(idempotency_key, most)
    rows = Deployment.objects.filter(owner=user, idempotency_key__in=keys)
    found = {row.idempotency_key: row for row in rows.select_related("priority_class")}
    first = found.get(idempotency_key)
    if first is None:
        return []
    if first.idempotency_digest != _kept(digest):
        raise _reused()
    return [found[key] for key in keys if key in found]


def _reused() -> Conflict:
    return Conflict(
        "This Idempotency-Key came with another body before.", code="idempotency_key_reused"
    )


def _kept(digest: str) -> str:
    """What a row keeps of a body's digest: it needs SECRET_KEY, so a reader of the database cannot
    try values of `env` on it. Rows of earlier versions have the digest itself."""
    return salted_hmac("deployments.body", digest, algorithm="sha256").hexdigest()
