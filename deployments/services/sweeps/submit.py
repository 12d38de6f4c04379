"""Submits a sweep: all members are queued, or none is."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from rest_framework.exceptions import APIException

from accounts.models import User
from deployments import hooks
from deployments.models import Deployment, Sweep
from deployments.queries.sweeps import expect_limits_in
from deployments.scheduling_key import key_of
from deployments.services import bulk
from deployments.services.drafting import dependencies, idempotency
from deployments.services.drafting.drafts import Draft, Order, try_drafts
from deployments.services.sweeps.placeholders import Parameters
from deployments.services.sweeps.recording import SETTINGS, record_sweep
from deployments.sweep import MOST_MEMBERS
from mlops_platform.api.errors import Conflict, Invalid
from organizations.events.models import OrganizationEventType as Type
from organizations.events.recording import columns_of


class Wanted(NamedTuple):
    """A sweep that is asked for. `orders` are those of its members, in the order of their
    parameters."""

    name: str
    parameters: Sequence[Parameters]
    max_parallel: int | None
    orders: Sequence[Order]


class Submitted(NamedTuple):
    sweep: Sweep
    replayed: bool  # an earlier sweep with the same Idempotency-Key is answered


def drafts_of(user: User, wanted: Wanted) -> list[Draft]:
    """The members that a submit would save; writes nothing. Raises what a single submit does, for
    the first member at fault."""
    drafts: list[Draft] = []
    for index, each in enumerate(try_drafts(user, wanted.orders)):
        if isinstance(each, APIException):
            raise _of_member(each, index)
        drafts.append(each)
    if drafts[0].dependencies:  # all members have the same
        dependencies.refuse_hopeless(drafts[0].dependencies)
    return drafts


def create_sweep(user: User, wanted: Wanted, *, idempotency_key: str | None = None) -> Submitted:
    """Queue the members. Raises what bulk.save does: 409 where the queue has no room for all.

    The queries of a bulk, one for the sweep, and one where the cluster had no limit before.
    """
    drafts = drafts_of(user, wanted)
    digest = _digest(wanted, drafts)
    if idempotency_key:
        earlier = idempotency.earlier(user, idempotency_key, digest, MOST_MEMBERS)
        if earlier:
            return Submitted(_sweep_of(earlier), True)
    sweep = _sweep_with(user, wanted, drafts)
    with transaction.atomic():
        sweep.save(force_insert=True)
        saved = bulk.save(user, drafts, digest, idempotency_key=idempotency_key)
        if saved.replayed:  # of a request at the same time
            sweep.delete()
            return Submitted(_sweep_of(saved.deployments), True)
        record_sweep(sweep, Type.SWEEP_CREATED, None, columns_of(sweep, SETTINGS))
        if wanted.max_parallel is not None:
            expect_limits_in(sweep.cluster)
    return Submitted(sweep, False)


def foreseen(user: User, wanted: Wanted) -> tuple[list[Draft], hooks.Foreseen]:
    """The members that a submit would save, and what would become of them at once. Writes nothing;
    raises what a submit does."""
    drafts = drafts_of(user, wanted)
    _sweep_with(user, wanted, drafts)
    members = [draft.deployment for draft in drafts]
    return drafts, hooks.foresee_sweep(members, drafts[0].dependencies)


def _sweep_with(user: User, wanted: Wanted, drafts: Sequence[Draft]) -> Sweep:
    """An unsaved sweep, of which the drafts become the members."""
    cluster = drafts[0].deployment.cluster
    sweep = Sweep(
        cluster=cluster,
        owner=user,
        name=wanted.name,
        parameters=[_kept(each) for each in wanted.parameters],
        size=len(drafts),
        max_parallel=wanted.max_parallel,
    )
    for index, draft in enumerate(drafts):
        row = draft.deployment
        row.sweep, row.sweep_index = sweep, index
        row.scheduling_key = key_of(row, cluster)
    return sweep


def _kept(parameters: Parameters) -> dict[str, str | int | float | bool]:
    return {
        name: float(value) if isinstance(value, Decimal) else value
        for name, value in parameters.items()
    }


def _digest(wanted: Wanted, drafts: Sequence[Draft]) -> str:
    whole = ["sweep", wanted.name, wanted.max_parallel]  # the drafts have the parameters
    text = json.dumps([whole, [draft.digest for draft in drafts]])
    return hashlib.sha256(text.encode()).hexdigest()


def _sweep_of(members: Sequence[Deployment]) -> Sweep:
    sweep = Sweep.objects.filter(pk=members[0].sweep_id).first() if members[0].sweep_id else None
    if sweep is None:  # deleted since
        raise Conflict("The sweep of this Idempotency-Key was deleted.", code="sweep_deleted")
    return sweep


def _of_member(error: APIException, index: int) -> APIException:
    """Of the template, and for all but the first member with its number."""
    if isinstance(error.detail, Mapping):
        where = f"template (member {index})" if index else "template"
        return Invalid({f"{where}.{name}": _first(said) for name, said in error.detail.items()})
    return error


def _first(said: Any) -> str:
    while isinstance(said, list | dict) and said:
        said = next(iter(said.values() if isinstance(said, dict) else said))
    return str(said)
