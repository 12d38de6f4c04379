"""Submits many deployments at once: all of them are queued, or none is."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from rest_framework.exceptions import APIException

from accounts.models import User
from deployments.house import rules
from deployments.lifecycle.timeline import NO_DETAILS, record_all
from deployments.models import Deployment, EventType
from deployments.queries.dependencies import Dependency
from deployments.services.drafting import dependencies, idempotency, secret_references, volumes
from deployments.services.drafting.drafts import Draft, Order, draft_deployments
from deployments.services.drafting.idempotency import CHUNK
from deployments.services.drafting.queue_limits import refuse_too_many
from deployments.signals import deployments_submitted
from mlops_platform.api.errors import not_found, refuse_items
from mlops_platform.api.ids import draw_ids


class Bulk(NamedTuple):
    deployments: list[Deployment]  # in the order given
    replayed: bool  # an earlier bulk with the same Idempotency-Key is answered
    class_names: list[str]  # every priority class, most urgent first
    dependencies: Mapping[
        UUID, Sequence[Dependency]
    ]  # by id of the dependent, as they were at the submit


def create_deployments(
    user: User, orders: Sequence[Order], *, idempotency_key: str | None = None
) -> Bulk:
    """Queue one deployment for each order; deployments_submitted wakes the scheduler.

    Raises what create_deployment does, naming every item with the first kind of fault found. The
    number of queries does not depend on the number of orders, except for one insert for each CHUNK.
    """
    drafts = draft_deployments(user, orders)
    digest = hashlib.sha256(" ".join(draft.digest for draft in drafts).encode()).hexdigest()
    return save(user, drafts, digest, idempotency_key=idempotency_key)


def save(
    user: User,
    drafts: Sequence[Draft],
    digest: str,
    *,
    idempotency_key: str | None = None,
    actor: User | None = None,
) -> Bulk:
    """Queue the drafts, all of them or none. `digest`: of the request, which the key belongs to;
    `actor`: the user that their timelines name, where that is not their owner."""
    rows = [draft.deployment for draft in drafts]
    keys = idempotency.keys_for(idempotency_key, len(rows)) if idempotency_key else []
    for row, key in zip(rows, keys, strict=False):
        row.idempotency_key = key
    try:
        with transaction.atomic():
            for row, (row.pk, row.created_at) in zip(rows, draw_ids(len(rows)), strict=True):
                row.queued_at = row.created_at
            if keys:
                first = idempotency.insert(rows, digest)
                if first[0] is not rows[0]:
                    return Bulk(first, True, drafts[0].class_names, {})
            else:
                Deployment.objects.bulk_create(rows, batch_size=CHUNK)
                deployments_submitted.send(Deployment, deployments=rows)
            lines = ((row.pk, NO_DETAILS) for row in rows)
            record_all(lines, EventType.SUBMITTED, at=rows[-1].created_at, actor=actor or user)
            needed = _attach(drafts)
            if actor is None:  # an operator is not asked
                _obey(user, drafts)
            refuse_too_many(rows)
            volumes.keep(rows)
            secret_references.keep(rows)
    except IntegrityError as error:
        if "cluster_id" in str(error):  # deleted since it was read
            raise not_found() from None
        raise
    return Bulk(rows, False, drafts[0].class_names, needed)


def _attach(drafts: Sequence[Draft]) -> dict[UUID, list[Dependency]]:
    """Link the drafts with their dependencies. 409 that names the items that could never start."""
    gated = [number for number, draft in enumerate(drafts) if draft.dependencies]
    if not gated:
        return {}
    needs = [(drafts[number].deployment, drafts[number].dependencies) for number in gated]
    present = dependencies.attach(needs)
    faults: dict[int, tuple[APIException, str]] = {}
    for number, needed in zip(gated, present, strict=True):
        try:
            dependencies.refuse_hopeless(needed)
        except APIException as error:
            faults[number] = (error, "depends_on")
    refuse_items("deployments", faults)
    return {row.pk: needed for (row, _), needed in zip(needs, present, strict=True)}


def _obey(user: User, drafts: Sequence[Draft]) -> None:
    """What the house rules say of the rows that are not LOW."""
    ruled = [each for each in drafts if each.deployment.priority_class.name != rules.FREE]
    if ruled:
        unconfirmed = [each.deployment for each in ruled if not each.confirmed]
        rules.refuse_unconfirmed(unconfirmed, user)
        rules.refuse(user, [each.deployment for each in ruled])
