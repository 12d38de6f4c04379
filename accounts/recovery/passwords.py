"""Gives a user who has forgotten the password another one, by a link that is mailed.

Only a verified address gets one: an address that a user has merely typed is, as a way in, that of
the stranger who reads it. Asking is answered alike for every address: the web server looks nothing
up, and a worker finds the user.

The token is Django's (django.contrib.auth.tokens): a signature over the user's id, password,
address and the hour, so that it counts once, and no more after a change of these.
"""

import logging

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import transaction

from accounts import hooks
from accounts.models import User
from accounts.recovery.mails import RESET, request_mail, require_mail
from accounts.services import end_logins
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.database.row_waits import lock_row

logger = logging.getLogger(__name__)

BAD_LINK = "This link is expired, was used, or was not copied whole; ask for a new one."


def ask(email: str) -> None:
    """Mail a link to the user with that address, if there is one. 409 where the platform sends no
    mail. No query."""
    require_mail()
    request_mail(RESET, email)


def send(email: str) -> None:
    """The worker's part. One query."""
    user = User.objects.filter(verified_email=email.lower(), is_active=True).first()
    if user is None or not user.has_verified_email or not user.has_usable_password():
        return
    link = f"{settings.PUBLIC_URL}/sign-on/reset-password/{token_for(user)}"
    send_mail(
        "Set a new password",
        f"A new password was asked for {user.username} at {settings.PUBLIC_URL}. Set it within an "
        f"hour:\n\n{link}\n\nAll your logins end with that. "
        "If you have not asked, ignore this mail: nothing changes.\n",
        None,
        [user.email],
    )
    logger.info("password reset mailed", extra={"user_id": str(user.pk)})


def token_for(user: User) -> str:
    return f"{user.pk.hex}-{default_token_generator.make_token(user)}"


def user_of(token: str) -> User | None:
    """The user whom a link lets in; None where it does not count. One query."""
    key, _, rest = token.partition("-")
    pk = parse_uuid(key)
    user = User.objects.filter(pk=pk, is_active=True).first() if pk else None
    return user if user is not None and default_token_generator.check_token(user, rest) else None


def reset(token: str, new_password: str) -> User:
    """Set another password, which ends all logins and sessions, and the link.

    400 naming `token`, or `new_password` where it is weak. The password is hashed before the row is
    locked; where the row has changed since, the link has ended.
    """
    user = user_of(token)
    if user is None:
        raise Invalid({"token": BAD_LINK})
    try:
        validate_password(new_password, user)
    except ValidationError as error:
        raise Invalid({"new_password": " ".join(error.messages)}) from None
    hashed = make_password(new_password)
    with transaction.atomic():
        locked = lock_row(User.objects.filter(is_active=True), user.pk)
        if locked is None or locked.password != user.password:
            raise Invalid({"token": BAD_LINK})
        locked.password = hashed
        locked.save(update_fields=["password"])
        end_logins(locked)
        hooks.note_account(locked, before=None, after={"password": hooks.REPLACED}, by=locked)
    logger.info("password reset", extra={"user_id": str(user.pk)})
    return locked
