"""What may be read of secrets: all but their values. The caller has checked the user's access."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import User
from mlops_platform import sealing
from mlops_platform.api.errors import not_found
from organizations.models import Secret, SecretUse
from organizations.secrets.owners import Scope, SecretOwner

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
VALUE = "value"  # what a row has sealed


class SecretKey(NamedTuple):
    """One secret by its owner and name."""

    owner: SecretOwner
    name: str


class OpenedSecret(NamedTuple):
    """For the start of a container, and for nothing else: its repr has no value."""

    id: UUID
    version: int
    value: str

    def __repr__(self) -> str:
        return f"OpenedSecret({self.id}, version {self.version})"


def secrets_of(owner: SecretOwner) -> QuerySet[Secret]:
    """The owner's secrets by name, without their values. One query."""
    mine = Secret.objects.filter(**{owner.column: owner.id})
    return mine.select_related("updated_by").defer("sealed").order_by("name")


def secret_named(owner: SecretOwner, name: str) -> Secret:
    """The owner's secret of that name, without its value; 404 where there is none. One query."""
    secret = secrets_of(owner).filter(name=name).first() if NAME.fullmatch(name) else None
    if secret is None:
        raise not_found()
    return secret


def uses_of(owner: SecretOwner, name: str) -> QuerySet[SecretUse]:
    """Its uses, the newest first, each with the `username`; None of a user that is gone. 404 as
    secret_named; two queries with the page's."""
    username = User.objects.filter(pk=OuterRef("user_id")).values("username")
    uses = SecretUse.objects.filter(secret=secret_named(owner, name))
    return uses.annotate(username=Subquery(username)).order_by("-pk")


def existing(keys: Collection[SecretKey]) -> set[SecretKey]:
    """Those of the keys that exist. One query, none without keys."""
    if not keys:
        return set()
    return {SecretKey(_owner(*owners), name) for *owners, name in _rows(keys)}


def keep_existing(keys: Collection[SecretKey]) -> set[SecretKey]:
    """The same, and they exist until the caller's transaction ends. Others may keep them too."""
    if not keys:
        return set()
    sql, params = _rows(keys).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} FOR KEY SHARE", params)
        return {SecretKey(_owner(*owners), name) for *owners, name in cursor.fetchall()}


def _rows(keys: Collection[SecretKey]) -> QuerySet[Secret, Any]:
    wanted = Secret.objects.filter(_any_of(keys)).order_by("pk")
    return wanted.values_list("organization_id", "person_id", "name")


def opened(keys: Collection[SecretKey]) -> Mapping[SecretKey, OpenedSecret | None]:
    """The newest versions of those that exist; None for one that no key opens. For runtimes only.

    One query, none without keys.
    """
    if not keys:
        return {}
    found: dict[SecretKey, OpenedSecret | None] = {}
    columns = ("id", "version", "sealed", "organization_id", "person_id", "name")
    for id_, version, sealed, *owners, name in Secret.objects.filter(_any_of(keys)).values_list(
        *columns
    ):
        key = SecretKey(_owner(*owners), name)
        try:
            found[key] = OpenedSecret(id_, version, sealing.unseal(sealed)[VALUE])
        except (sealing.Unsealable, KeyError):
            found[key] = None
    return found


def _any_of(keys: Collection[SecretKey]) -> Q:
    names: dict[SecretOwner, set[str]] = {}
    for owner, name in keys:
        names.setdefault(owner, set()).add(name)
    wanted = Q()
    for owner, those in names.items():
        wanted |= Q(**{owner.column: owner.id, "name__in": those})
    return wanted


def _owner(organization_id: object, person_id: object) -> SecretOwner:
    if organization_id is not None:
        return SecretOwner(Scope.ORGANIZATION, organization_id)  # type: ignore[arg-type]  # an untyped row
    return SecretOwner(Scope.PERSON, person_id)  # type: ignore[arg-type]  # an untyped row
