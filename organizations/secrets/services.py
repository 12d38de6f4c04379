"""Writes and deletes secrets. Their values come in here sealed, and go out to runtimes alone."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import User
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from mlops_platform.sealing import seal
from organizations import hooks
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import REPLACED, Target, record
from organizations.models import Organization, Secret
from organizations.secrets.owners import Scope, SecretOwner
from organizations.secrets.queries import NAME, VALUE, secret_named

logger = logging.getLogger(__name__)

MOST_NAMED = 10  # deployments, in a refusal
BAD_NAME = "Up to 63 letters, digits and . _ -, of which a letter or a digit is the first."
EMPTY = "A secret has a value."


def put_secret(actor: User, owner: SecretOwner, name: str, value: str) -> tuple[Secret, bool]:
    """Write the next version of a secret: (the secret, whether it is new).

    400 for a bad name, an empty value or one that is too large, 409 where the owner has as many
    secrets as allowed. Deployments that run keep the version with which they were started.
    """
    if not NAME.fullmatch(name):
        raise Invalid({"name": BAD_NAME})
    refuse_size(value)
    sealed = seal({VALUE: value})
    with transaction.atomic():
        _lock(owner)  # names are counted, and versions drawn, one after the other
        secret = Secret.objects.filter(**{owner.column: owner.id}, name=name).first()
        created = secret is None
        now = database_now()
        if secret is None:
            _refuse_too_many(owner)
            secret = Secret(name=name, created_at=now, version=0, **{owner.column: owner.id})
        secret.version += 1
        secret.sealed, secret.updated_at, secret.updated_by = sealed, now, actor
        if created:
            secret.save(force_insert=True)
        else:
            # Not last_used_at, which a start may just have written.
            secret.save(update_fields=["version", "sealed", "updated_at", "updated_by"])
        type_ = (
            OrganizationEventType.SECRET_CREATED
            if created
            else OrganizationEventType.SECRET_CHANGED
        )
        _record(type_, secret, actor, after={"version": secret.version, VALUE: REPLACED})
    _note("secret written", secret, actor)
    return secret, created


def delete_secret(actor: User, owner: SecretOwner, name: str, *, force: bool = False) -> None:
    """Delete a secret with the list of its uses.

    404 where there is none; 409, unless forced, while deployments use it that have not ended.
    Those that run keep what they have; those that start later fail for want of it.
    """
    found = secret_named(owner, name)
    with transaction.atomic():
        _lock(owner)
        secret = lock_row(Secret.objects.defer("sealed"), found.pk, no_key=False)
        if secret is None:
            raise not_found()
        if not force:
            _refuse_in_use(secret)
        secret.delete()
        _record(OrganizationEventType.SECRET_DELETED, found, actor)
    _note("secret deleted", found, actor)


def refuse_size(value: str) -> None:
    """400 for a value that is empty, or larger than allowed."""
    if not value:
        raise Invalid({VALUE: EMPTY})
    if len(value.encode()) > settings.MAX_SECRET_KIB * 1024:
        raise Invalid({VALUE: f"A secret may have {settings.MAX_SECRET_KIB} KiB in UTF-8."})


def _refuse_too_many(owner: SecretOwner) -> None:
    most = settings.MAX_SECRETS
    if Secret.objects.filter(**{owner.column: owner.id}).count() >= most:
        whose = "An organization" if owner.scope == Scope.ORGANIZATION else "A person"
        raise Conflict(f"{whose} may have {most} secrets.", "too_many_secrets")


def _refuse_in_use(secret: Secret) -> None:
    users = hooks.users_of(secret, MOST_NAMED)
    if not users.number:
        return
    named = ", ".join(users.first)
    more = users.number - len(users.first)
    raise Conflict(
        f"Deployments use it: {named}{f' and {more} more' if more > 0 else ''}. "
        "Stop them first, or delete with ?force=true.",
        "secret_in_use",
    )


def _lock(owner: SecretOwner) -> None:
    """Lock the owner's row; 404 where it has been deleted since it was read."""
    rows: Any = Organization.objects if owner.scope == Scope.ORGANIZATION else User.objects
    if lock_row(rows.all(), owner.id) is None:
        raise not_found()


def _record(
    type_: OrganizationEventType,
    secret: Secret,
    actor: User,
    after: Mapping[str, Any] | None = None,
) -> None:
    """An event of an organization's secret; a person's own are in no feed."""
    if secret.organization_id is not None:
        target = Target(TargetType.SECRET, secret.pk, secret.name)
        record(secret.organization_id, type_, target, after=after, actor=actor)


def _note(event: str, secret: Secret, actor: User) -> None:
    """One line of the log: who wrote which version of what, and never the value."""
    logger.info(
        event,
        extra={
            "secret_id": str(secret.pk),
            "organization_id": _text(secret.organization_id),
            "version": secret.version,
            "actor_id": str(actor.pk),
        },
    )


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)
