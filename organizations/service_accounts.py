"""The API keys of organizations: each acts as a service account, a member that is a program.

Its role is the bound of such a key, and its scope the widest. The account ends with the key; what
it has submitted goes on, and names it as its owner.
"""

import secrets
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.keys import services as keys
from accounts.models import ApiKey, User
from mlops_platform.api.errors import Conflict
from mlops_platform.api.scopes import KeyScope
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from organizations.access import require
from organizations.events.accounts import note_key
from organizations.models import Membership, Organization, Role, ServiceAccount


def keys_of(organization_id: UUID) -> QuerySet[ApiKey]:
    """The organization's keys that are not revoked, the newest first, each with its `role`. The
    caller has checked that the user is an ADMIN."""
    role = Membership.objects.filter(user=OuterRef("user_id"), organization=organization_id)
    found = ApiKey.objects.filter(
        user__service_account__organization=organization_id, revoked_at=None
    )
    return (
        found.annotate(role=Subquery(role.values("role")))
        .select_related("user", "created_by")
        .order_by("-pk")
    )


@transaction.atomic
def create_key(
    actor: User,
    organization_id: UUID,
    name: str,
    role: Role,
    expires_in_s: int = keys.DEFAULT_EXPIRY_S,
) -> keys.NewKey:
    """A key of the organization, with an account of its own in that role; ADMIN only. 409 where
    there is one of that name, or as many as allowed."""
    keys.refuse_expiry(expires_in_s)
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    existing = keys_of(organization_id)
    if existing.filter(name=name, expires_at__gt=database_now()).exists():
        raise Conflict(keys.NAME_TAKEN, "name_taken")
    keys.refuse_too_many(existing, "An organization")
    expired = existing.filter(name=name)
    end(Q(service_account__organization=organization_id, api_keys__in=expired), by=actor)
    user = User(username=f"{name}@{secrets.token_hex(4)}")
    user.set_unusable_password()
    user.save()
    ServiceAccount.objects.create(user=user, organization_id=organization_id)
    Membership.objects.create(user=user, organization_id=organization_id, role=role)
    return keys.issue(user, name, KeyScope.MANAGE, expires_in_s, by=actor)


@transaction.atomic
def revoke_key(actor: User, organization_id: UUID, name: str) -> None:
    """End a key and its account at once; ADMIN only. 404 where there is none of that name."""
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    key = keys.revoke_key(actor, keys_of(organization_id), name)
    end(Q(pk=key.user_id), by=actor)


def end(which: Q, *, by: User | None = None) -> None:
    """End those of the users that are service accounts, with their keys and memberships. Six
    queries and two for each live key, one where there are none. The caller has locked their
    organization. `by`: for the events of their keys."""
    ids = list(
        User.objects.filter(which, service_account__isnull=False).values_list("pk", flat=True)
    )
    if ids:
        for key in ApiKey.objects.filter(user__in=ids, revoked_at=None).select_related("user"):
            note_key(key, revoked=True, by=by)
        ApiKey.objects.filter(user__in=ids, revoked_at=None).update(revoked_at=database_now())
        Membership.objects.filter(user__in=ids).delete()
        User.objects.filter(pk__in=ids).update(is_active=False)


def _lock(actor: User, organization_id: UUID) -> None:
    """Nothing is locked for a user who is no member."""
    members = Organization.objects.filter(memberships__user=actor, deleted_at=None)
    lock_row(members, organization_id, of=("self",))
