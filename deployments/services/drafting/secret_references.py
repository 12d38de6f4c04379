"""Resolves the secrets that submits name: whose each of them is, and that it exists.

What a deployment keeps is a list of `{"scope", "name"}` with `env` or `file`; never a value, and no
version: each start takes the newest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from rest_framework.serializers import ValidationError

from deployments.models import Deployment
from deployments.queries.secrets import key_of
from deployments.runtimes.peers import why_no_rank
from mlops_platform.api.errors import Invalid
from organizations.secrets import owners
from organizations.secrets.owners import Scope, SecretOwner
from organizations.secrets.queries import SecretKey, existing, keep_existing

Reference = Mapping[str, Any]
MISSING = "There is no such secret of yours, nor of the organization."
MISSING_IN = {
    Scope.ORGANIZATION: "There is no such secret of the organization.",
    Scope.PERSON: "There is no such secret of yours.",
}
DELETED = "One of them has just been deleted."
SET_TWICE = "env sets this variable too."


def find(user_id: UUID, needed: Iterable[tuple[UUID, Sequence[Reference]]]) -> set[SecretKey]:
    """Which of the secrets exist that these references may mean, each list of them for a cluster of
    the organization before it. One query at most."""
    keys = {
        SecretKey(owner, reference["name"])
        for organization_id, references in needed
        for reference in references
        for owner in _owners(user_id, organization_id, reference)
    }
    return existing(keys)


def resolve(
    user_id: UUID,
    organization_id: UUID,
    references: Sequence[Reference],
    env: Collection[str],
    found: Collection[SecretKey],
    *,
    ranks: Collection[str] = (),
) -> list[dict[str, str]]:
    """The references as a deployment keeps them. 400 that names each one at fault: its secret does
    not exist, `env` sets its variable too, or the variable is one of the `ranks`, which differ from
    replica to replica."""
    resolved, faults = [], dict[str, Any]()
    for number, reference in enumerate(references):
        name = reference["name"]
        having = [
            owner.scope
            for owner in _owners(user_id, organization_id, reference)
            if SecretKey(owner, name) in found
        ]
        if not having:
            scope = reference.get("scope")
            faults[str(number)] = {"name": [MISSING_IN[Scope(scope)] if scope else MISSING]}
        elif reference.get("env") in env:
            faults[str(number)] = {"env": [SET_TWICE]}
        elif reference.get("env") in ranks:
            faults[str(number)] = {"env": [why_no_rank([reference["env"]])]}
        else:
            resolved.append({**reference, "scope": str(having[0])})
    if faults:
        raise ValidationError({"secrets": faults})
    return resolved


def keep(deployments: Collection[Deployment]) -> None:
    """Have the secrets outlive the transaction that inserts these deployments; 400 where one has
    been deleted meanwhile. Last in the transaction, as volumes.keep.

    One query, none where they name none.
    """
    keys = {
        key_of(row.cluster.organization_id, row, each)
        for row in deployments
        if row.secrets
        for each in row.secrets
    }
    if keys - keep_existing(keys):
        raise Invalid({"secrets": DELETED})


def _owners(user_id: UUID, organization_id: UUID, reference: Reference) -> list[SecretOwner]:
    """Whose it may be, the first choice first."""
    both = [owners.person(user_id), owners.organization(organization_id)]
    scope = reference.get("scope")
    return [owner for owner in both if scope in (None, owner.scope)]
