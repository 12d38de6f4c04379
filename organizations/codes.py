"""The standing codes of an organization: replaces and deletes them. A code is in no event.

Changes lock the organization's row first (services.py).
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from mlops_platform.database.row_waits import lock_row
from organizations.access import ORDER, require
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import Event, Target, record, record_all
from organizations.invitations.services import revoke_known_to
from organizations.models import InviteCode, Membership, Organization, Role


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
    lock_organization(organization_id)
    now = timezone.now()
    InviteCode.objects.filter(organization_id=organization_id, role=role, rotated_at=None).update(
        rotated_at=now
    )
    code = InviteCode(
        organization_id=organization_id,
        role=role,
        created_at=now,
        expires_at=now + timedelta(seconds=expires_in_s) if expires_in_s is not None else None,
        max_uses=max_uses,
    )
    _create_codes(organization_id, [code])
    return code


@transaction.atomic
def delete_code(code: InviteCode) -> None:
    """For operators. Where it is the live one, the organization has none for the role."""
    target = Target(TargetType.INVITE_CODE, code.role, code.role)
    before = {"role": code.role, "expires_at": code.expires_at, "max_uses": code.max_uses}
    code.delete()
    record(code.organization_id, OrganizationEventType.INVITE_CODE_DELETED, target, before=before)


def _create_codes(organization_id: UUID, codes: Sequence[InviteCode]) -> None:
    """An event of each; the codes themselves are in none. Two queries."""
    InviteCode.objects.bulk_create(codes)
    record_all(
        Event(
            organization_id,
            OrganizationEventType.INVITE_CODE_CREATED,
            Target(TargetType.INVITE_CODE, code.role, code.role),
            after={"role": code.role, "expires_at": code.expires_at, "max_uses": code.max_uses},
        )
        for code in codes
    )


@transaction.atomic
def replace_codes_known_to(user: User) -> None:
    """For a user whose account ends or is deactivated: registration may be open."""
    for membership in Membership.objects.filter(user=user).order_by("organization_id"):
        lock_organization(membership.organization_id)
        replace_known_codes(membership.organization_id, Role(membership.role))
        revoke_known_to(membership)


def replace_known_codes(organization_id: UUID, role: Role) -> None:
    """Replace the usable codes of this role and those below, with what is left of their limits.

    The caller has locked the organization.
    """
    known = ORDER[: ORDER.index(role) + 1]
    live = InviteCode.objects.filter(
        organization_id=organization_id, role__in=known, rotated_at=None
    )
    usable = [code for code in live if code.usable]
    now = timezone.now()
    live.filter(pk__in=[code.pk for code in usable]).update(rotated_at=now)
    successors = [
        InviteCode(
            organization_id=organization_id,
            role=code.role,
            created_at=now,
            expires_at=code.expires_at,
            max_uses=None if code.max_uses is None else code.max_uses - code.uses,
        )
        for code in usable
    ]
    _create_codes(organization_id, successors)


def lock_organization(organization_id: UUID) -> None:
    if lock_row(Organization.objects.filter(deleted_at=None), organization_id) is None:
        raise Organization.DoesNotExist
