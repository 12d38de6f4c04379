"""Issues and revokes API keys, and notes that they were used."""

import logging
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet

from accounts import hooks
from accounts.keys import tokens
from accounts.keys.queries import NAME, key_named
from accounts.models import ApiKey, User
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.api.scopes import KeyScope
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row

logger = logging.getLogger(__name__)

MALFORMED_NAME = "Up to 63 letters, digits and . _ -, the first one a letter or a digit."
DAY_S = 24 * 3600
DEFAULT_EXPIRY_S = 90 * DAY_S
NAME_TAKEN = "There is a key of that name; revoke it first, or take another name."


class NewKey(NamedTuple):
    """A key with its secret, which nothing can show again."""

    key: ApiKey
    token: str


@transaction.atomic
def create_key(
    user: User, name: str, scope: KeyScope, expires_in_s: int = DEFAULT_EXPIRY_S
) -> NewKey:
    """A key with which programs act as the user. 400 naming `name` or `expires_in_s`; 409 where
    the user has one of that name, or as many as allowed."""
    refuse_expiry(expires_in_s)
    if lock_row(User.objects.filter(is_active=True), user.pk) is None:  # one after the other
        raise not_found()
    refuse_too_many(user.api_keys.all(), "A user")
    return issue(user, name, scope, expires_in_s, by=user)


def issue(user: User, name: str, scope: KeyScope, expires_in_s: int, *, by: User) -> NewKey:
    """The key's row; the caller has locked what bounds the number of keys."""
    if not NAME.fullmatch(name):
        raise Invalid({"name": MALFORMED_NAME})
    now = database_now()
    of_that_name = user.api_keys.filter(name=name, revoked_at=None)
    of_that_name.filter(expires_at__lte=now).update(revoked_at=F("expires_at"))
    if of_that_name.exists():
        raise Conflict(NAME_TAKEN, "name_taken")
    token = tokens.new_token()
    key = ApiKey.objects.create(
        user=user,
        name=name,
        scope=scope,
        digest=tokens.digest(token),
        start=token[: tokens.SHOWN],
        created_at=now,
        created_by=by,
        expires_at=now + timedelta(seconds=expires_in_s),
    )
    hooks.note_key(key, revoked=False, by=by)
    note("API key created", key, by)
    return NewKey(key, token)


def refuse_expiry(expires_in_s: int) -> None:
    most = settings.API_KEY_MAX_DAYS
    if expires_in_s > most * DAY_S:
        raise Invalid({"expires_in_s": f"A key may live for {most} days: {most * DAY_S} seconds."})


def refuse_too_many(keys: QuerySet[ApiKey], whose: str) -> None:
    """409 where as many of the keys as allowed are live. The caller has locked their owner."""
    most = settings.MAX_API_KEYS
    if keys.filter(revoked_at=None, expires_at__gt=database_now()).count() >= most:
        raise Conflict(f"{whose} may have {most} live keys; revoke one first.", "too_many_keys")


def revoke_key(actor: User, keys: QuerySet[ApiKey], name: str) -> ApiKey:
    """End one of the keys, none of which is revoked, at once; 404 where there is none of that
    name, or another request has just revoked it."""
    found = key_named(keys, name)
    with transaction.atomic():
        key = lock_row(keys, found.pk, of=("self",))
        if key is None:
            raise not_found()
        key.revoked_at = database_now()
        key.save(update_fields=["revoked_at"])
        hooks.note_key(key, revoked=True, by=actor)
    note("API key revoked", key, actor)
    return key


def touch(key_id: UUID) -> None:
    """Note that a key is used, once a minute at most. It waits for no lock: while another
    transaction has the row, nothing is noted. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_TOUCH, [key_id])


_TOUCH = """
UPDATE accounts_apikey SET last_used_at = statement_timestamp()
 WHERE id = (SELECT id FROM accounts_apikey
              WHERE id = %s
                AND coalesce(last_used_at < statement_timestamp() - interval '1 minute', true)
                FOR NO KEY UPDATE SKIP LOCKED)
"""


def note(event: str, key: ApiKey, actor: User) -> None:
    """One line of the log; never the secret."""
    extra = {
        "key_id": str(key.pk),
        "key_name": key.name,
        "key_user_id": str(key.user_id),
        "actor_id": str(actor.pk),
    }
    logger.info(event, extra=extra)
