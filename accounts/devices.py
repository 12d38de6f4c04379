"""Lets programs without a browser in: the device grant of RFC 8628.

The program shows a short code. A person who is logged in, by a password or a provider, types it and
lets the program in; the program then gets the first tokens of a login of that person.
"""

import hashlib
import logging
import secrets
from datetime import timedelta
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from rest_framework.exceptions import APIException

from accounts.models import DeviceGrant, User
from accounts.services import TokenPair, begin_login
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row

logger = logging.getLogger(__name__)

LASTS_S = 600
INTERVAL_S = 5
SIGNS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels: no words (RFC 8628, 6.1); 20^8 codes
LENGTH = 8
TRIES = 3
UNKNOWN_CODE = "No program waits with this code: it is mistyped, expired or used."
ENDED_SESSION = "Your password was changed meanwhile; log in again."


class Refused(APIException):
    """400 with an error's code of RFC 8628 (3.5)."""

    status_code = 400


PENDING = ("authorization_pending", "Not let in yet; ask again after the interval.")
SLOW_DOWN = ("slow_down", f"Asked too soon; wait {INTERVAL_S} seconds between two calls.")
DENIED = ("access_denied", "The user has not let this program in.")
EXPIRED = ("expired_token", "The device code is unknown, expired or used; begin again.")


class NewGrant(NamedTuple):
    device_code: str
    grant: DeviceGrant


def begin(client: str, address: str) -> NewGrant:
    """A grant for a program that names itself `client` and comes from that address."""
    device_code = secrets.token_urlsafe(32)
    now = database_now()
    for tries_left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                grant = DeviceGrant.objects.create(
                    digest=_digest(device_code),
                    user_code="".join(secrets.choice(SIGNS) for _ in range(LENGTH)),
                    client=client,
                    address=address,
                    created_at=now,
                    expires_at=now + timedelta(seconds=LASTS_S),
                )
        except IntegrityError:  # two with one short code
            if not tries_left:
                raise
        else:
            break
    return NewGrant(device_code, grant)


def shown(user_code: str) -> str:
    """The short code as people read it."""
    return f"{user_code[:4]}-{user_code[4:]}"


def waiting_with(user_code: str) -> DeviceGrant:
    """The grant that waits with a short code, in any letter case and with or without its hyphen;
    400 naming `user_code` where none does. One query."""
    typed = "".join(sign for sign in user_code.upper() if sign.isalnum())[: LENGTH + 1]
    grants = DeviceGrant.objects.filter(user=None, is_denied=False, expires_at__gt=Now())
    grant = grants.filter(user_code=typed).first()
    if grant is None:
        raise Invalid({"user_code": UNKNOWN_CODE})
    return grant


def decide(user: User, user_code: str, *, allow: bool) -> DeviceGrant:
    """Let the program in as the user, or not; 400 as above, 409 where another has just decided, or
    the user's password has just changed."""
    grant = waiting_with(user_code)
    open_still = DeviceGrant.objects.filter(pk=grant.pk, user=None, is_denied=False)
    change = {"user": user} if allow else {"is_denied": True}
    with transaction.atomic():
        same = User.objects.filter(is_active=True, password=user.password)
        if lock_row(same, user.pk) is None:  # another password ends what the old one let in
            raise Conflict(ENDED_SESSION, "session_ended")
        if not open_still.update(**change):
            raise Conflict("This code was used meanwhile.", "used")
    extra = {"user_id": str(user.pk), "client": grant.client, "address": grant.address}
    logger.info("device let in" if allow else "device not let in", extra=extra)
    return grant


def trade(device_code: str) -> TokenPair:
    """The tokens for a device code that was let in, which is used up by that. 400 otherwise, with
    the codes of RFC 8628."""
    with transaction.atomic():
        pair, refusal = _traded(device_code)
    if pair is None:
        code, sentence = refusal
        raise Refused(sentence, code)
    return pair


def _traded(device_code: str) -> tuple[TokenPair | None, tuple[str, str]]:
    """Commits what it notes also where it refuses."""
    found = DeviceGrant.objects.filter(digest=_digest(device_code), expires_at__gt=Now())
    key, user_id = found.values_list("pk", "user").first() or (None, None)
    # The user first, as where a password is changed, which deletes the grant.
    user = lock_row(User.objects.filter(is_active=True), user_id) if user_id else None
    grant = lock_row(DeviceGrant.objects.all(), key) if key else None
    if grant is None:
        return None, EXPIRED
    now, last = database_now(), grant.polled_at
    if last is not None and now - last < timedelta(seconds=INTERVAL_S - 1):
        return None, SLOW_DOWN
    if grant.is_denied:
        grant.delete()
        return None, DENIED
    if user_id is None:
        grant.polled_at = now
        grant.save(update_fields=["polled_at"])
        return None, PENDING
    grant.delete()
    return (begin_login(user), EXPIRED) if user is not None else (None, DENIED)


def _digest(device_code: str) -> str:
    return hashlib.sha256(device_code.encode()).hexdigest()
