"""Deletes organizations: at once for their members, and in the tables with their clusters' rows.

A deletion marks the organization under its lock, in the transaction that deletes its clusters and
takes its members, codes and secrets away. The row itself goes last: once the tasks that delete the
rows of its clusters have come to their end.
"""

import logging
from uuid import UUID

from django.db import transaction
from django.db.models import ProtectedError, Q

from accounts.models import User
from mlops_platform.api.errors import not_found
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from organizations import hooks, service_accounts
from organizations.access import require
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import Target, record
from organizations.models import Organization, Role

logger = logging.getLogger(__name__)


def delete_own_organization(actor: User, organization_id: UUID, *, force: bool = False) -> None:
    """As delete_organization; ADMIN only."""
    delete_organization(organization_id, force=force, actor=actor)
    extra = {"organization_id": str(organization_id), "actor_id": str(actor.pk)}
    logger.info("organization deleted", extra=extra)


def delete_organization(
    organization_id: UUID, *, force: bool = False, actor: User | None = None
) -> None:
    """Delete the organization with its clusters and their history; 409, with nothing changed, while
    anything waits or runs in one of them, unless forced. `actor` is a member, who must be ADMIN."""
    with transaction.atomic():
        if actor is not None:
            require(actor, organization_id, Role.ADMIN)
        live = Organization.objects.filter(deleted_at=None)
        organization = lock_row(live, organization_id, no_key=False)
        if organization is None:
            raise not_found()
        hooks.delete_clusters(organization.pk, force=force)
        service_accounts.end(Q(service_account__organization=organization.pk), by=actor)
        for rows in (
            organization.memberships,
            organization.invite_codes,
            organization.invitations,
            organization.group_roles,
            organization.bans,
            organization.secrets,
        ):
            rows.all().delete()
        organization.deleted_at = database_now()
        organization.save(update_fields=["deleted_at"])
        record(
            organization.pk,
            OrganizationEventType.ORGANIZATION_DELETED,
            Target(TargetType.ORGANIZATION, organization.pk, organization.name),
            before={"name": organization.name},
            actor=actor,
        )
    finish(organization.pk)


def finish(organization_id: UUID) -> None:
    """Delete the row of a deleted organization, unless rows of its clusters are left."""
    try:
        with transaction.atomic():
            deleted = Organization.objects.exclude(deleted_at=None)
            deleted.filter(pk=organization_id).delete()
    except ProtectedError:
        return


def finish_all() -> None:
    """For those whose last cluster went without a call of `finish`. One query where none is."""
    for organization_id in Organization.objects.exclude(deleted_at=None).values_list(
        "pk", flat=True
    ):
        finish(organization_id)
