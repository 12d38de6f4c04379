"""Which secrets deployments use, and which deployments use a secret."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import User
from clusters.models import Volume, VolumeKind
from deployments.models import UNENDED, Deployment
from deployments.queries.names import called
from organizations.hooks import Users
from organizations.models import Secret
from organizations.secrets import owners
from organizations.secrets.owners import Scope
from organizations.secrets.queries import SecretKey


def users_of(secret: Secret, most: int) -> Users:
    """The deployments that use it and have not ended, the oldest first. Two queries, which read an
    index of such deployments alone, and one for an organization's buckets, whose secrets are used
    by what mounts them."""
    scope = Scope.ORGANIZATION if secret.organization_id else Scope.PERSON
    named = Q(secrets__contains=[{"scope": str(scope), "name": secret.name}]) & ~Q(secrets=[])
    unended = Deployment.objects.filter(status__in=UNENDED)
    if secret.organization_id:
        using = unended.filter(
            named | _mounting(secret), cluster__organization_id=secret.organization_id
        )
    else:
        using = unended.filter(named, owner_id=secret.person_id)
    first = called(using.order_by("pk")[: most + 1])
    return Users(len(first) if len(first) <= most else using.count(), first[:most])


def _mounting(secret: Secret) -> Q:
    """What mounts a bucket whose access key the secret has a part of."""
    buckets = Volume.objects.filter(cluster__organization=secret.organization, kind=VolumeKind.S3)
    mounting = Q(pk__in=())
    for cluster_id, name, source in buckets.values_list("cluster_id", "name", "source"):
        if secret.name in source.get("secrets", {}).values():
            mounting |= Q(cluster_id=cluster_id, volumes__contains=[{"name": name}])
    return mounting


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
