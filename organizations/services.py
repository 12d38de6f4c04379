"""Creates organizations, and changes their members, roles and codes.

Changes of members and codes lock the organization's row first. Without the lock two changes could
each count on the other's ADMIN and together leave none, and a user could join with a code that is
being replaced. The lock is NO KEY: an insert of a row that refers to the organization does not wait
for it.

A member who is removed or demoted could come back with the codes that the member knows, if need be
by another account. These codes are replaced in the same transaction: an ADMIN sees all of them, and
another member knows the one used to join, whose role is not above the member's. Invitations that
the member has made, or joined by, are revoked. A removed member is also banned. An ADMIN who leaves
takes no code along either. That another member leaves replaces none: else each user with a code
could make it useless for all others.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from rest_framework.exceptions import PermissionDenied

from accounts.models import User
from accounts.recovery import addresses
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from organizations.access import reaches, require
from organizations.codes import lock_organization, replace_known_codes
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import Target, record
from organizations.invitations import tokens
from organizations.invitations.queries import named_by
from organizations.invitations.services import revoke_known_to
from organizations.models import (
    TAKEN,
    Ban,
    Invitation,
    InviteCode,
    Membership,
    Organization,
    Role,
)
from organizations.queries import member_of
from organizations.service_accounts import end

logger = logging.getLogger(__name__)

BANNED = "An ADMIN has removed you from this organization; only an ADMIN can let you in again."


@transaction.atomic
def create_organization(user: User, name: str) -> Organization:
    """A new organization with a code for each role; `user` is its ADMIN. 409 where another one has
    the name in any letter case, or the user is an ADMIN of as many as allowed."""
    most = settings.MAX_ORGANIZATIONS_PER_USER
    lock_row(User.objects.all(), user.pk)  # counted one after the other
    if Membership.objects.filter(user=user, role=Role.ADMIN).count() >= most:
        raise Conflict(f"You are an ADMIN of {most} organizations, and may be of no more.", "full")
    try:
        with transaction.atomic():
            organization = Organization.objects.create(name=name)
    except IntegrityError as error:
        if "organization_name_unique" not in str(error):
            raise
        raise Conflict(TAKEN, "name_taken") from None
    Membership.objects.create(organization=organization, user=user, role=Role.ADMIN)
    InviteCode.objects.bulk_create(
        InviteCode(organization=organization, role=role) for role in Role
    )
    target = Target(TargetType.ORGANIZATION, organization.pk, name)
    record(organization.pk, Type.ORGANIZATION_CREATED, target, after={"name": name}, actor=user)
    return organization


@transaction.atomic
def rename_organization(actor: User, organization_id: UUID, name: str) -> Membership:
    """Give it another name, also another spelling of its own; ADMIN only. 409 where another one has
    the name in any letter case."""
    _lock(actor, organization_id)
    membership = require(actor, organization_id, Role.ADMIN)
    try:
        with transaction.atomic():
            rename(membership.organization, name, actor)
    except IntegrityError as error:
        if "organization_name_unique" not in str(error):
            raise
        raise Conflict(TAKEN, "name_taken") from None
    extra = {"organization_id": str(organization_id), "actor_id": str(actor.pk)}
    logger.info("organization renamed", extra=extra)
    return membership


def rename(organization: Organization, name: str, actor: User) -> None:
    """Without checks; IntegrityError where another organization has the name."""
    before = Organization.objects.values_list("name", flat=True).get(pk=organization.pk)
    organization.name = name
    organization.save(update_fields=["name"])
    record(
        organization.pk,
        Type.ORGANIZATION_CHANGED,
        Target(TargetType.ORGANIZATION, organization.pk, name),
        before={"name": before},
        after={"name": name},
        actor=actor,
    )


@transaction.atomic
def join(user: User, code: str) -> Membership:
    """Make the user a member in the role of the code or invitation, and count one use.

    400 where the code is unknown, rotated or revoked, expired or used up; 409 for a member and 403
    for a removed one, without counting a use. `max_uses` is kept also where many join at once.
    """
    live = _live(code)
    organization_id = live.values_list("organization_id", flat=True).first()
    if organization_id is not None:
        lock_organization(organization_id)
    invite = live.first()  # again: it may have been replaced before the lock was had
    if invite is None:
        raise _unknown()
    if Membership.objects.filter(organization_id=invite.organization_id, user=user).exists():
        raise Conflict("You are a member of this organization already.", "already_a_member")
    if Ban.objects.filter(organization_id=invite.organization_id, user=user).exists():
        raise PermissionDenied(BANNED, code="banned")
    _refuse_spent(invite)
    membership = Membership.objects.create(
        organization_id=invite.organization_id,
        user=user,
        role=invite.role,
        invitation=invite if isinstance(invite, Invitation) else None,
    )
    if isinstance(invite, Invitation) and invite.by_mail:
        _note_that_mail_was_read(user, invite)
    invite.uses += 1
    invite.save(update_fields=["uses"])
    _note("member joined", Type.MEMBER_JOINED, membership, user, after={"role": invite.role})
    return membership


def _note_that_mail_was_read(user: User, invitation: Invitation) -> None:
    """The mail alone had the token: the address is the user's, unless another one has verified
    it."""
    if user.email.lower() == invitation.email.lower() and not user.has_verified_email:
        with suppress(Conflict):
            addresses.verify(user)


def check_code(code: str) -> None:
    """400 as in `join`, cheaply and without a lock: for a user who does not exist yet."""
    invite = _live(code).first()
    if invite is None:
        raise _unknown()
    _refuse_spent(invite)


def _live(code: str) -> QuerySet[Any]:
    """The standing code or the invitation with that text, neither replaced nor revoked."""
    if tokens.is_token(code):
        return named_by(code)
    return InviteCode.objects.filter(code=code, rotated_at=None)


@transaction.atomic
def change_role(actor: User, organization_id: UUID, user_id: UUID, role: Role) -> Membership:
    """Give a member another role; ADMIN only. 409 where the organization would have no ADMIN.

    A demotion replaces the codes that the member knows.
    """
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    membership = member_of(organization_id, user_id)
    if role != Role.ADMIN:
        _keep_an_admin(membership)
    return _set_role(actor, membership, role)


@transaction.atomic
def remove_member(actor: User, organization_id: UUID, user_id: UUID) -> None:
    """End a membership: an ADMIN that of any member, who is banned; others only their own. 409 for
    that of the last ADMIN."""
    _lock(actor, organization_id)
    require(actor, organization_id, Role.VIEWER if actor.pk == user_id else Role.ADMIN)
    membership = member_of(organization_id, user_id)
    _keep_an_admin(membership)
    if actor.pk != user_id:
        _remove(actor, membership)
        return
    if membership.role == Role.ADMIN:
        replace_known_codes(organization_id, Role.ADMIN)
        revoke_known_to(membership)
    membership.delete()
    _note("member left", Type.MEMBER_LEFT, membership, actor, before={"role": membership.role})


@transaction.atomic
def lift_ban(actor: User, organization_id: UUID, user_id: UUID) -> None:
    """Let a removed member join again with a code; ADMIN only. 404 where there is no ban."""
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    ban = Ban.objects.filter(organization_id=organization_id, user_id=user_id).first()
    if ban is None:
        raise not_found()
    ban.delete()
    _note("ban lifted", Type.BAN_LIFTED, ban, actor)


# --- By operators, who are no members and may leave an organization without an ADMIN --------------


@transaction.atomic
def set_role(operator: User, organization_id: UUID, user_id: UUID, role: Role) -> Membership:
    """As change_role, without its checks."""
    lock_organization(organization_id)
    return _set_role(operator, member_of(organization_id, user_id), role)


@transaction.atomic
def ban_member(operator: User, organization_id: UUID, user_id: UUID) -> None:
    """As the removal of another member, without its checks."""
    lock_organization(organization_id)
    _remove(operator, member_of(organization_id, user_id))


@transaction.atomic
def add_member(operator: User, organization_id: UUID, user: User, role: Role) -> Membership:
    """Without a code, and also where the user was removed."""
    lock_organization(organization_id)
    added = Membership.objects.create(organization_id=organization_id, user=user, role=role)
    Ban.objects.filter(organization=organization_id, user=user).delete()
    _note("member added", Type.MEMBER_ADDED, added, operator, after={"role": role})
    return added


@transaction.atomic
def forgive(operator: User, ban: Ban) -> None:
    """As lift_ban, without its checks."""
    lock_organization(ban.organization_id)
    ban.delete()
    _note("ban lifted", Type.BAN_LIFTED, ban, operator)


def _set_role(actor: User, membership: Membership, role: Role) -> Membership:
    before = Role(membership.role)
    membership.role = role
    membership.save(update_fields=["role"])
    if not reaches(role, before):
        replace_known_codes(membership.organization_id, before)
        revoke_known_to(membership)
    if role != before:
        changed = {"before": {"role": before}, "after": {"role": role}}
        _note("role changed", Type.MEMBER_CHANGED, membership, actor, **changed)
    return membership


def _remove(actor: User, membership: Membership) -> None:
    """End the membership and ban the user."""
    replace_known_codes(membership.organization_id, Role(membership.role))
    revoke_known_to(membership)
    end(Q(pk=membership.user_id), by=actor)
    membership.delete()
    Ban.objects.create(
        organization_id=membership.organization_id,
        user_id=membership.user_id,
        role=membership.role,
        banned_by=actor,
    )
    before = {"role": membership.role}
    _note("member removed", Type.MEMBER_REMOVED, membership, actor, before=before)


def _note(
    text: str,
    type_: Type,
    about: Membership | Ban,
    actor: User,
    *,
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
) -> None:
    """An event, and one line of the log. One query, and one where the user is not at hand."""
    target = Target(TargetType.MEMBER, about.user_id, about.user.username)
    record(about.organization_id, type_, target, before=before, after=after, actor=actor)
    logger.info(
        text,
        extra={
            "organization_id": str(about.organization_id),
            "member_id": str(about.user_id),
            "role": about.role,
            "actor_id": str(actor.pk),
        },
    )


def _lock(member: User, organization_id: UUID) -> None:
    """Lock the organization for one of its members; rows that were read before may be stale.

    For a user who is no member nothing is locked: a stranger must not delay an organization.
    """
    lock_row(Organization.objects.filter(memberships__user=member), organization_id, of=("self",))


def end_membership(membership: Membership) -> None:
    """End it without a ban, with what the member knows. The caller has locked the organization."""
    replace_known_codes(membership.organization_id, Role(membership.role))
    revoke_known_to(membership)
    membership.delete()


def _keep_an_admin(leaving: Membership) -> None:
    """409 where `leaving` is the last ADMIN."""
    if is_last_admin(leaving):
        raise Conflict("An organization needs an ADMIN; appoint another one first.", "last_admin")


def is_last_admin(leaving: Membership) -> bool:
    """Whether no other ADMIN has an active account; programs do not count."""
    others = Membership.objects.filter(
        organization_id=leaving.organization_id,
        role=Role.ADMIN,
        user__is_active=True,
        user__service_account=None,
    ).exclude(pk=leaving.pk)
    return leaving.role == Role.ADMIN and not others.exists()


def _refuse_spent(invite: InviteCode | Invitation) -> None:
    if invite.expires_at is not None and invite.expires_at <= database_now():
        raise _unusable("expired_invite_code", "This code has expired; ask for a new one.")
    if invite.max_uses is not None and invite.uses >= invite.max_uses:
        raise _unusable("used_up_invite_code", "This code is used up; ask for a new one.")


def _unknown() -> Invalid:
    return _unusable("invalid_invite_code", "This code admits no user; ask for the present one.")


def _unusable(code: str, sentence: str) -> Invalid:
    return Invalid({"invite_code": sentence}, code=code)
