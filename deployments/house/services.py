"""Reads and changes house rules. The caller has checked access."""

import logging
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from deployments.house_rules import HouseRules
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.names import folded
from mlops_platform.database.row_waits import lock_row
from organizations.access import require
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import Target, record
from organizations.models import Membership, Organization, Role

logger = logging.getLogger(__name__)


def rules_of(organization_id: UUID) -> HouseRules:
    """The defaults where the organization has none. One query."""
    rules = HouseRules.objects.filter(organization=organization_id).first()
    return rules or HouseRules(organization_id=organization_id)


@transaction.atomic
def change_rules(actor: User, organization_id: UUID, changes: Mapping[str, Any]) -> HouseRules:
    """Set what is given; the rest stays as it is. ADMIN only."""
    members = Organization.objects.filter(memberships__user=actor, deleted_at=None)
    lock_row(members, organization_id, of=("self",))
    require(actor, organization_id, Role.ADMIN)
    before = rules_of(organization_id)
    rules, _ = HouseRules.objects.update_or_create(
        organization_id=organization_id, defaults=dict(changes)
    )
    was, now = ({name: getattr(each, name) for name in sorted(changes)} for each in (before, rules))
    record(
        organization_id,
        OrganizationEventType.ORGANIZATION_CHANGED,
        Target(TargetType.ORGANIZATION, organization_id, rules.organization.name),
        before=was,
        after=now,
        actor=actor,
    )
    extra = {"organization_id": str(organization_id), "actor_id": str(actor.pk)}
    logger.info("house rules changed", extra=extra)
    return rules


def members_named(organization_id: UUID, given: Collection[str]) -> list[str]:
    """The ids of members, each given by id or name; 400 naming `restricted` for another. One query
    for each."""
    found = []
    for text in given:
        key = parse_uuid(text)
        which = Q(user=key) if key else Q(user__folded=folded(text))
        member = Membership.objects.filter(which, organization=organization_id).first()
        if member is None:
            raise Invalid({"restricted": f"No member is named {text[:50]!r}."})
        found.append(str(member.user_id))
    return found


def names_of(rules: HouseRules) -> dict[str, str]:
    """The names of the users whom the rules name, by id. One query, none where they name none."""
    ids = {key for each in rules.restricted for key in each["members"]}
    if not ids:
        return {}
    users = User.objects.filter(pk__in=ids).values_list("pk", "username")
    return {str(key): name for key, name in users}
