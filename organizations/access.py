"""Decides, for every app, what a user's role in an organization allows.

A user who is no member gets 404, as if the organization did not exist; a member whose role is too
low gets 403. Staff and superusers have no role by that: they work in the admin.
"""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied

from accounts.models import User
from mlops_platform.api import tenant
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from organizations.models import Membership, Role

ORDER = (Role.VIEWER, Role.DEVELOPER, Role.ADMIN)  # each may do what those before it may


def organizations_of(user: User) -> QuerySet[Membership, Any]:
    """The ids of the user's organizations, as a subquery: no query of its own.

    Used as `filter(organization__in=organizations_of(user))`.
    """
    return Membership.objects.filter(user_id=user.pk).values("organization")


def role_in(user: User, organization_id: UUID | str) -> Role | None:
    """The user's role there; None for a stranger, or where there is nothing. One query."""
    key = parse_uuid(organization_id)
    return roles_of(user, [key]).get(key) if key else None


def require(user: User, organization_id: UUID | str, role: Role) -> Membership:
    """The user's membership, which carries at least `role`. One query.

    Raises 404 for strangers (and for ids that are none), 403 where the role is too low.
    """
    key = parse_uuid(organization_id)
    members = Membership.objects.filter(user_id=user.pk)
    membership = members.filter(organization_id=key).first() if key else None
    if membership is None:
        raise not_found()
    tenant.found.get()(membership.organization_id)
    if ORDER.index(Role(membership.role)) < ORDER.index(role):
        raise role_too_low(role, membership.role)
    return membership


def roles_of(user: User, organization_ids: Collection[UUID]) -> dict[UUID, Role]:
    """The user's role in each of the organizations of which the user is a member. One query."""
    found = Membership.objects.filter(user_id=user.pk, organization_id__in=organization_ids)
    roles = {id_: Role(role) for id_, role in found.values_list("organization_id", "role")}
    if len(roles) == 1:
        tenant.found.get()(*roles)
    return roles


class Standing(NamedTuple):
    """What a user's access to an organization follows from: while it stays, the access does."""

    role: str
    is_active: bool
    password: str  # its hash


def standings_of(pairs: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Standing]:
    """The standing of each (user, organization), for many at once; none for what is no membership.
    One query."""
    users, organizations = {user for user, _ in pairs}, {each for _, each in pairs}
    found = Membership.objects.filter(user_id__in=users, organization_id__in=organizations)
    columns = ("user_id", "organization_id", "role", "user__is_active", "user__password")
    return {
        (user, organization): Standing(role, is_active, password)
        for user, organization, role, is_active, password in found.values_list(*columns)
    }


def role_too_low(needed: str, role: str) -> PermissionDenied:
    """403 for a member."""
    return PermissionDenied(f"This needs the role {needed}; yours is {role}.")


def reaches(role: Role, needed: Role) -> bool:
    """Whether `role` includes what `needed` may do."""
    return ORDER.index(role) >= ORDER.index(needed)
