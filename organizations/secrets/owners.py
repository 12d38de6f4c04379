"""Whose a secret is: an organization's or a person's, each with names of its own."""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from organizations.models import Secret


class Scope(StrEnum):
    ORGANIZATION = "organization"
    PERSON = "person"


class SecretOwner(NamedTuple):
    scope: Scope
    id: UUID

    @property
    def column(self) -> str:
        """The column of a secret that names the owner."""
        return f"{self.scope}_id"


def organization(organization_id: UUID) -> SecretOwner:
    return SecretOwner(Scope.ORGANIZATION, organization_id)


def person(user_id: UUID) -> SecretOwner:
    return SecretOwner(Scope.PERSON, user_id)


def owner_of(secret: Secret) -> SecretOwner:
    if secret.organization_id is not None:
        return organization(secret.organization_id)
    assert secret.person_id is not None  # by a CHECK constraint
    return person(secret.person_id)
