"""Which secrets deployments use, and which deployments use a secret."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from accounts.models import User
from deployments.models import UNENDED, Deployment
from organizations.hooks import Users
from organizations.models import Secret
from organizations.secrets import owners
from organizations.secrets.owners import Scope
from organizations.secrets.queries import SecretKey


def users_of(secret: Secret, most: int) -> Users:
    """The deployments that use it and have not ended, the oldest first. Two queries, which read an
    index of such deployments alone."""
    scope = Scope.ORGANIZATION if secret.organization_id else Scope.PERSON
    using = Deployment.objects.filter(
        status__in=UNENDED, secrets__contains=[{"scope": str(scope), "name": secret.name}]
    ).exclude(secrets=[])
    if secret.organization_id:
        using = using.filter(cluster__organization_id=secret.organization_id)
    else:
        using = using.filter(owner_id=secret.person_id)
    first = list(using.order_by("pk").values_list("pk", flat=True)[: most + 1])
    return Users(len(first) if len(first) <= most else using.count(), first[:most])


def key_of(organization_id: UUID, row: Deployment, reference: dict[str, str]) -> SecretKey:
    """The secret that a reference of this deployment of the organization means."""
    if reference["scope"] == Scope.PERSON:
        return SecretKey(owners.person(row.owner_id), reference["name"])
    return SecretKey(owners.organization(organization_id), reference["name"])


def shown(row: Deployment, reader: User | None) -> Sequence[dict[str, Any]]:
    """The references as `reader` may see them: the name of a person's secret is that person's."""
    return [
        each if each["scope"] != Scope.PERSON or _is_owner(row, reader) else {**each, "name": None}
        for each in row.secrets
    ]


def _is_owner(row: Deployment, reader: User | None) -> bool:
    return reader is not None and reader.pk == row.owner_id
