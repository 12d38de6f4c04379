"""Finds and makes the user whom an OpenID provider names.

The provider's claims are verified before (mlops_platform/sign_on/provider.py). An identity belongs
to one user, by issuer and subject; a user may have several. An e-mail address or a name never leads
to an account: they are not always the person's own, nor for ever.
"""

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from rest_framework.exceptions import APIException, PermissionDenied

from accounts import hooks
from accounts.models import Identity, User
from accounts.recovery import addresses
from mlops_platform.api.errors import Conflict
from mlops_platform.api.names import check_name

logger = logging.getLogger(__name__)

INACTIVE = "Your account is deactivated; ask an operator."
UNCONNECTED = (
    "No account of this platform is connected with this identity. Log in with your password and "
    "connect it, or ask an operator."
)
OF_ANOTHER = "This identity is connected with another account."
LONGEST_NAME = 100
TRIES = 5


def known(issuer: str, subject: str) -> User | None:
    """The user of an identity; 403 for one who is deactivated. Two queries."""
    found = Identity.objects.filter(issuer=issuer, subject=subject).select_related("user").first()
    if found is None:
        return None
    if not found.user.is_active:
        raise PermissionDenied(INACTIVE, code="user_inactive")
    Identity.objects.filter(pk=found.pk).update(last_login_at=Now())
    return found.user


def make_user(issuer: str, claims: Mapping[str, Any]) -> User:
    """A new user, without a password, named like the provider's or, where that name is taken or is
    none, a little differently. 403 where the platform makes no users for the provider."""
    if not settings.OIDC.makes_users:
        raise PermissionDenied(UNCONNECTED, code="not_connected")
    email = _email(claims)
    for name in _names(str(claims.get(settings.OIDC.username_claim) or "")):
        if User.objects.named(name).exists():
            continue
        user = User(username=name, email=email)
        user.set_unusable_password()
        try:
            with transaction.atomic():
                user.save()
                connect(user, issuer, str(claims["sub"]))
        except IntegrityError:  # another user has taken the name meanwhile
            continue
        if email and claims.get("email_verified") is True:
            with suppress(Conflict):
                addresses.verify(user)
        return user
    raise Conflict("No name was free for you; try again.", "name_taken")


def connect(user: User, issuer: str, subject: str) -> None:
    """Connect an identity with the user; 409 where it is another user's."""
    identity, is_new = Identity.objects.get_or_create(
        issuer=issuer, subject=subject, defaults={"user": user}
    )
    if identity.user_id != user.pk:
        raise Conflict(OF_ANOTHER, "connected")
    if is_new:
        hooks.note_account(user, before=None, after={"identity": "connected"}, by=user)
        extra = {"user_id": str(user.pk), "issuer": issuer, "subject": subject}
        logger.info("identity connected", extra=extra)


def _names(wanted: str) -> list[str]:
    """The names to try, one after the other."""
    name = User.normalize_username(wanted[:LONGEST_NAME])
    try:
        UnicodeUsernameValidator()(name)
        check_name(name)
    except (ValidationError, APIException):
        name = "user"
    others = [f"{name}-{secrets.token_hex(2)}" for _ in range(TRIES)]
    return others if name == "user" else [name, *others]


def _email(claims: Mapping[str, Any]) -> str:
    given = claims.get("email")
    try:
        validate_email(given)
    except ValidationError:
        return ""
    return str(User.objects.normalize_email(str(given)))[:254]
