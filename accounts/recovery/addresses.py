"""Proves that an e-mail address is a user's: a link is mailed there, and comes back.

The token is signed and kept nowhere: it names the user and the address, so that an address that has
been changed meanwhile is not verified by it.
"""

import logging

from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.db import IntegrityError, transaction

from accounts import hooks
from accounts.models import User
from accounts.recovery.mails import VERIFY, request_mail, require_mail
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.database.row_waits import lock_row

logger = logging.getLogger(__name__)

SALT = "accounts.recovery.addresses"
LASTS_S = 24 * 3600
BAD_LINK = "This link is expired, or was not copied whole, or the address has been changed since."
OF_ANOTHER = "Another user has verified this address."


def ask(user: User) -> None:
    """Mail the user a link that verifies the address. 409 without an address, where it is verified
    already, or where the platform sends no mail."""
    require_mail()
    if not user.email:
        raise Conflict("You have no e-mail address; set one first.", "no_email")
    if user.has_verified_email:
        raise Conflict("Your e-mail address is verified.", "verified_already")
    request_mail(VERIFY, str(user.pk))


def send(user_id: str) -> None:
    """The worker's part. One query."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not user.email or user.has_verified_email:
        return
    link = f"{settings.PUBLIC_URL}/sign-on/verify-email/{token_for(user)}"
    send_mail(
        "Verify your e-mail address",
        f"{user.username} has given this address to the platform at {settings.PUBLIC_URL}. If that "
        f"is you, open this link within 24 hours:\n\n{link}\n\n"
        "If not, ignore this mail.\n",
        None,
        [user.email],
    )


def token_for(user: User) -> str:
    return signing.dumps([str(user.pk), user.email.lower()], salt=SALT)


def confirm(token: str) -> User:
    """Verify the address of a link. 400 naming `token`; 409 where another user has verified it."""
    try:
        key, address = signing.loads(token, salt=SALT, max_age=LASTS_S)
    except signing.BadSignature:
        raise Invalid({"token": BAD_LINK}) from None
    with transaction.atomic():
        user = lock_row(User.objects.filter(is_active=True), key)
        if user is None or user.email.lower() != address:
            raise Invalid({"token": BAD_LINK})
        verify(user)
        hooks.note_account(user, before=None, after={"email_verified": True}, by=user)
    return user


def verify(user: User) -> None:
    """Note that the address is the user's, whose row the caller has locked or just made. 409 where
    it is verified for another user, who still has it."""
    address = user.email.lower()
    left = User.objects.filter(verified_email=address).exclude(pk=user.pk)
    left.exclude(email__iexact=address).update(verified_email=None)
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(verified_email=address)
    except IntegrityError:
        raise Conflict(OF_ANOTHER, "email_taken") from None
    user.verified_email = address
    logger.info("e-mail address verified", extra={"user_id": str(user.pk)})
