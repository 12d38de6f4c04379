"""Creates organizations, and changes their members, roles and codes.

Changes of members and codes lock the organization's row first. Without the lock two changes could
each count on the other's ADMIN and together leave none. The lock is NO KEY: an insert of a row that
refers to the organization does not wait for it.
"""

from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from mlops_platform.api.errors import Conflict, Invalid
from organizations.access import require
from organizations.models import InviteCode, Membership, Organization, Role
from organizations.queries import member_of


@transaction.atomic
def create_organization(user: User, name: str) -> Organization:
    """A new organization with a code for each role; `user` is its ADMIN."""
    organization = Organization.objects.create(name=name)
    Membership.objects.create(organization=organization, user=user, role=Role.ADMIN)
    InviteCode.objects.bulk_create(
        InviteCode(organization=organization, role=role) for role in Role
    )
    return organization


@transaction.atomic
def join(user: User, code: str) -> Membership:
    """Make the user a member in the code's role, and count one use.

    The code's row is locked, so `max_uses` is kept also where many users join at once. 400 where
    the code is unknown, rotated, expired or used up; 409 for a member, without counting a use.
    """
    invite = InviteCode.objects.select_for_update(no_key=True).filter(code=code).first()
    if invite is None or invite.rotated_at is not None:
        raise _unusable("invalid_invite_code", "This code lets nobody in; ask for the present one.")
    if Membership.objects.filter(organization_id=invite.organization_id, user=user).exists():
        raise _already_a_member()
    if invite.expires_at is not None and invite.expires_at <= timezone.now():
        raise _unusable("expired_invite_code", "This code has expired; ask for a new one.")
    if invite.max_uses is not None and invite.uses >= invite.max_uses:
        raise _unusable("used_up_invite_code", "This code is used up; ask for a new one.")
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                organization_id=invite.organization_id, user=user, role=invite.role
            )
    except IntegrityError:  # the user has joined with another code at the same time
        raise _already_a_member() from None
    invite.uses += 1
    invite.save(update_fields=["uses"])
    return membership


@transaction.atomic
def change_role(actor: User, organization_id: UUID, user_id: UUID, role: Role) -> Membership:
    """Give a member another role; ADMIN only. 409 where the organization would have no ADMIN."""
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    membership = member_of(organization_id, user_id)
    if role != Role.ADMIN:
        _keep_an_admin(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    return membership


@transaction.atomic
def remove_member(actor: User, organization_id: UUID, user_id: UUID) -> None:
    """End a membership: an ADMIN that of any member, others only their own. 409 for that of the
    last ADMIN."""
    _lock(actor, organization_id)
    require(actor, organization_id, Role.VIEWER if actor.pk == user_id else Role.ADMIN)
    membership = member_of(organization_id, user_id)
    _keep_an_admin(membership)
    membership.delete()


@transaction.atomic
def rotate_code(
    actor: User,
    organization_id: UUID,
    role: Role,
    expires_in_s: int | None = None,
    max_uses: int | None = None,
) -> InviteCode:
    """Replace the live code of `role`, which ends the old one; ADMIN only."""
    require(actor, organization_id, Role.ADMIN)
    return replace_code(organization_id, role, expires_in_s, max_uses)


@transaction.atomic
def replace_code(
    organization_id: UUID, role: Role, expires_in_s: int | None = None, max_uses: int | None = None
) -> InviteCode:
    """As rotate_code, without a check of the role: for operators, who are no members."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    now = timezone.now()
    InviteCode.objects.filter(organization_id=organization_id, role=role, rotated_at=None).update(
        rotated_at=now
    )
    return InviteCode.objects.create(
        organization_id=organization_id,
        role=role,
        created_at=now,
        expires_at=now + timedelta(seconds=expires_in_s) if expires_in_s is not None else None,
        max_uses=max_uses,
    )


def _lock(member: User, organization_id: UUID) -> None:
    """Lock the organization for one of its members; rows that were read before may be stale.

    For a user who is no member nothing is locked: a stranger must not delay an organization.
    """
    list(
        Organization.objects.select_for_update(of=("self",), no_key=True).filter(
            pk=organization_id, memberships__user=member
        )
    )


def _keep_an_admin(leaving: Membership) -> None:
    """409 where `leaving` is the last ADMIN with an active account."""
    others = Membership.objects.filter(
        organization_id=leaving.organization_id, role=Role.ADMIN, user__is_active=True
    ).exclude(pk=leaving.pk)
    if leaving.role == Role.ADMIN and not others.exists():
        raise Conflict("An organization needs an ADMIN; appoint another one first.", "last_admin")


def _already_a_member() -> Conflict:
    return Conflict("You are a member of this organization already.", "already_a_member")


def _unusable(code: str, sentence: str) -> Invalid:
    return Invalid({"invite_code": sentence}, code=code)
