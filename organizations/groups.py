"""Members by groups: at each login by the OpenID provider, memberships follow the user's groups.

Operators say which group is which role where (GroupRole). A membership that came by a group ends,
or changes its role, with the groups; one that came by a code or by hand stays as it is. A ban
counts for more than a group, and the last ADMIN stays.
"""

import logging
from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from accounts.models import User
from organizations.access import reaches
from organizations.codes import lock_organization
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import Target, record
from organizations.models import Ban, GroupRole, Membership, Role
from organizations.services import end_membership, is_last_admin, set_role

logger = logging.getLogger(__name__)

MOST_GROUPS = 1000


def follow(user: User, groups: Collection[str]) -> None:
    """Make the user's memberships as the groups say. Two queries where nothing changes."""
    wanted = _roles_by(groups)
    present = {
        membership.organization_id: membership
        for membership in Membership.objects.filter(user=user)
    }
    for organization_id in sorted({*wanted, *present}):
        role, membership = wanted.get(organization_id), present.get(organization_id)
        changes = role is not None if membership is None else membership.from_group
        if changes and (membership is None or membership.role != role):
            _follow_in(user, organization_id, role)


def _roles_by(groups: Collection[str]) -> dict[UUID, Role]:
    """The highest role in each organization."""
    roles: dict[UUID, Role] = {}
    found = GroupRole.objects.filter(
        group__in=list(groups)[:MOST_GROUPS], organization__deleted_at=None
    )
    for organization_id, given in found.values_list("organization_id", "role"):
        role = Role(given)
        if organization_id not in roles or reaches(role, roles[organization_id]):
            roles[organization_id] = role
    return roles


@transaction.atomic
def _follow_in(user: User, organization_id: UUID, role: Role | None) -> None:
    """The same in one organization, which it locks; what has changed meanwhile is read again."""
    lock_organization(organization_id)
    rows = Membership.objects.filter(organization_id=organization_id, user=user)
    membership = rows.select_related("user").first()
    extra = {"organization_id": str(organization_id), "member_id": str(user.pk), "role": role}
    if membership is None:
        if role is None or Ban.objects.filter(organization=organization_id, user=user).exists():
            return
        Membership.objects.create(
            organization_id=organization_id, user=user, role=role, from_group=True
        )
        _note(user, organization_id, "member joined by a group", None, role)
    elif not membership.from_group:
        return
    elif role != Role.ADMIN and is_last_admin(membership):
        logger.warning("the last ADMIN stays, without a group that says so", extra=extra)
    elif role is None:
        before = membership.role
        end_membership(membership)
        _note(user, organization_id, "member left with a group", before, None)
    else:
        set_role(user, organization_id, user.pk, role)


def _note(
    user: User, organization_id: UUID, text: str, before: str | None, after: Role | None
) -> None:
    """An event, and one line of the log."""
    sides = [None if role is None else {"role": role, "group": True} for role in (before, after)]
    record(
        organization_id,
        Type.MEMBER_JOINED if before is None else Type.MEMBER_LEFT,
        Target(TargetType.MEMBER, user.pk, user.username),
        before=sides[0],
        after=sides[1],
        actor=user,
    )
    extra = {"organization_id": str(organization_id), "member_id": str(user.pk), "role": after}
    logger.info(text, extra=extra)
