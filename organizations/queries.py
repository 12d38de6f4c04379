"""What a user may read of organizations, their members and codes."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from accounts.models import User
from mlops_platform.api.errors import not_found
from organizations.models import Ban, InviteCode, Membership, Organization, Role


def all_organizations() -> QuerySet[Organization]:
    """Every organization, oldest first (ids carry their time)."""
    return Organization.objects.filter(deleted_at=None).order_by("pk")


def memberships_of(user: User) -> QuerySet[Membership]:
    """The user's memberships, each with its organization and, where the user is ADMIN and only
    there, the organization's codes, which shown_codes gives. Two queries."""
    codes = InviteCode.objects.filter(
        rotated_at=None,
        organization__memberships__user=user,
        organization__memberships__role=Role.ADMIN,
    )
    return (
        Membership.objects.filter(user=user)
        .select_related("organization")
        .prefetch_related(
            Prefetch("organization__invite_codes", queryset=codes, to_attr="codes_to_show")
        )
        .order_by("pk")
    )


def own_membership(user: User, organization_id: UUID) -> Membership:
    """The user's membership there, as in memberships_of; 404 without one. Two queries."""
    membership = memberships_of(user).filter(organization_id=organization_id).first()
    if membership is None:
        raise not_found()
    return membership


def shown_codes(membership: Membership) -> list[InviteCode]:
    """The codes that came with a row of memberships_of; none unless it is an ADMIN's. No query."""
    codes: list[InviteCode] = membership.organization.codes_to_show  # type: ignore[attr-defined]  # set by the prefetch
    return codes


def codes_of(organization: Organization) -> Iterable[InviteCode]:
    """The live codes, one per role. The caller has checked that the user is an ADMIN."""
    return organization.invite_codes.filter(rotated_at=None)


def members_of(organization_id: UUID) -> QuerySet[Membership]:
    """The members with their users, in the order in which they joined."""
    return (
        Membership.objects.filter(organization_id=organization_id)
        .select_related("user")
        .order_by("pk")
    )


def member_of(organization_id: UUID, user_id: UUID) -> Membership:
    """The membership with its user; 404 for a user who is no member. The caller has checked that
    the asking user may know. One query."""
    membership = (
        Membership.objects.select_related("user")
        .filter(organization_id=organization_id, user_id=user_id)
        .first()
    )
    if membership is None:
        raise not_found()
    return membership


def bans_of(organization_id: UUID) -> QuerySet[Ban]:
    """The removed members, oldest first. The caller has checked that the user is an ADMIN."""
    return (
        Ban.objects.filter(organization_id=organization_id)
        .select_related("user", "banned_by")
        .order_by("pk")
    )


def names_of_organizations(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Also of those that are being deleted. One query."""
    found = Organization.objects.filter(pk__in=[each for each in ids if each is not None])
    return dict(found.values_list("pk", "name"))
