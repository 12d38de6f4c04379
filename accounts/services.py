"""Registers users, logs them in and out, and changes their profiles.

A refresh token is used once. A second use means that two clients have it, one of them a thief's, so
the whole login ends. An honest client that has lost the answer uses it twice too: within RETRY a
repeated use answers the same next token. A login never has two valid ones: a thief who is that fast
shares the token with the user, and a later use by the slower of the two ends the login.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, Token
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from accounts import hooks
from accounts.models import TAKEN, DeviceGrant, Login, User, UserProfile
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.database.row_waits import lock_row

logger = logging.getLogger(__name__)

RETRY = timedelta(seconds=10)
LOGIN_CLAIM = "login"


class Unauthorized(APIException):
    """Always 401: DRF turns AuthenticationFailed into 403 in a view without authentication, such as
    register, login, refresh and logout."""

    status_code = 401
    auth_header = 'Bearer realm="api"'  # the header WWW-Authenticate


class BadCredentials(Unauthorized):
    default_detail = "No active account has this user name and password."
    default_code = "bad_credentials"


class BadToken(Unauthorized):
    default_detail = "This refresh token is invalid, expired or used already; log in again."
    default_code = "token_not_valid"


@dataclass(frozen=True)
class TokenPair:
    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105  # the kind of a token, not a token


def register(username: str, password: str, email: str = "", invite_code: str = "") -> User:
    """A new user, who is a member by the invite code if there is one.

    400 naming `username` if taken in any letter case, `password` if weak, and what REGISTRATION
    demands: `email` of another domain, `invite_code` missing or useless. 403 where it is closed.
    """
    _refuse_unregistrable(email, invite_code)
    user = User(username=username, email=User.objects.normalize_email(email))
    if User.objects.named(username).exists():
        raise _taken()
    if invite_code:
        hooks.check_invitation(invite_code)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({"password": " ".join(error.messages)}) from None
    user.set_password(password)  # slow on purpose, so outside the transaction
    try:
        with transaction.atomic():
            user.save()
            if invite_code:
                hooks.accept_invitation(user, invite_code)
    except IntegrityError:  # another user has registered the name meanwhile
        raise _taken() from None
    return user


def _refuse_unregistrable(email: str, invite_code: str) -> None:
    """What REGISTRATION demands (mlops_platform/environment/admission.py), before anything else
    costs time."""
    allowed = settings.REGISTRATION
    if allowed.mode == "closed":
        raise PermissionDenied("Registration is closed; ask an operator.", "registration_closed")
    if allowed.mode == "invite" and not invite_code:
        raise Invalid({"invite_code": "Registration needs an invite code of an organization."})
    _refuse_strange_address(email)


def _refuse_strange_address(email: str) -> None:
    domains = settings.REGISTRATION.domains
    if domains and email.rpartition("@")[2].lower() not in domains:
        raise Invalid({"email": f"An address in {', '.join(sorted(domains))} is required."})


def log_in(username: str, password: str) -> TokenPair:
    """A first pair of tokens. 401 with the same message, after the same time, for every failure:
    Django hashes the password for unknown names and deactivated users too."""
    user = authenticate(username=username, password=password)
    if not isinstance(user, User):
        raise BadCredentials
    return begin_login(user)


def begin_login(user: User) -> TokenPair:
    """The first pair of tokens of a login; the caller knows that it is the user."""
    login = Login(user=user)
    token = _next_token(login)
    login.save(force_insert=True)
    return _pair(user, token)


def rotate(refresh_token: str) -> TokenPair:
    """A new pair of tokens for a refresh token, which is used up by that. 401 where it was before,
    which ends its login; within RETRY the answer is the same refresh token as before."""
    token = _read(refresh_token)
    with transaction.atomic():
        login = _login_of(token)
        pair = None
        if login is not None and token[api_settings.JTI_CLAIM] == login.token_id:
            login.spent_id, login.spent_at = login.token_id, Now()
            pair = _pair(login.user, _next_token(login))
            login.save(update_fields=["token_id", "spent_id", "spent_at", "expires_at"])
        elif login is not None:
            pair = _pair(login.user, _token(login))
    if pair is None:
        raise BadToken
    return pair


def log_out(refresh_token: str) -> None:
    """End the login of a refresh token, with every other token of it; its access tokens expire
    within minutes."""
    token = _read(refresh_token)
    with transaction.atomic():
        login = _login_of(token)
        if login is not None:
            login.delete()
    if login is None:
        raise BadToken


@transaction.atomic
def change_profile(
    user: User, *, email: str | None = None, profile: Mapping[str, str] | None = None
) -> None:
    """Set what is given; the rest stays as it is. 400 for an e-mail address of a domain in which
    none may register."""
    lock_row(User.objects.all(), user.pk)
    if email is not None:
        _refuse_strange_address(email)
        user.email = User.objects.normalize_email(email)
        user.save(update_fields=["email"])
        hooks.note_account(user, before=None, after={"email": hooks.REPLACED})
    if profile:
        UserProfile.objects.update_or_create(user=user, defaults=profile)


def change_password(user: User, old_password: str, new_password: str) -> TokenPair:
    """Set another password, and end all logins of the user: the pair begins the only one.

    400 naming `old_password` where it is another, and `new_password` where it is weak or the same.
    Passwords are hashed before the row is locked; where it has changed since, the old one is wrong.
    """
    if not user.check_password(old_password):
        raise _wrong_password()
    if new_password == old_password:
        raise Invalid({"new_password": "This is the old one."})
    try:
        validate_password(new_password, user)
    except ValidationError as error:
        raise Invalid({"new_password": " ".join(error.messages)}) from None
    hashed = make_password(new_password)
    with transaction.atomic():
        locked = lock_row(User.objects.filter(is_active=True), user.pk)
        if locked is None or locked.password != user.password:
            raise _wrong_password()
        locked.password = hashed
        locked.save(update_fields=["password"])
        end_logins(locked)
        pair = begin_login(locked)
        hooks.note_account(locked, before=None, after={"password": hooks.REPLACED})
    logger.info("password changed", extra={"user_id": str(user.pk)})
    return pair


def end_logins(user: User) -> None:
    """End all logins of a user, whose row the caller has locked; also those of programs that the
    user has let in, and that have not begun. Two queries."""
    Login.objects.filter(user=user).delete()
    DeviceGrant.objects.filter(user=user).delete()


class LoginToken(Token):
    """A refresh token. Not simplejwt's, whose table keeps each token as it is."""

    token_type = "refresh"  # noqa: S105  # the kind of a token, not a token
    lifetime = api_settings.REFRESH_TOKEN_LIFETIME


def _next_token(login: Login) -> LoginToken:
    """Another token for the login, whose row is not saved yet."""
    login.token_id = uuid4().hex
    token = _token(login)
    login.expires_at = datetime_from_epoch(token["exp"])
    return token


def _token(login: Login) -> LoginToken:
    token = LoginToken.for_user(login.user)
    token[api_settings.JTI_CLAIM], token[LOGIN_CLAIM] = login.token_id, str(login.pk)
    return token


def _pair(user: User, refresh: LoginToken) -> TokenPair:
    return TokenPair(access_token=str(AccessToken.for_user(user)), refresh_token=str(refresh))


def _read(refresh_token: str) -> LoginToken:
    """A token of ours that has not expired; whether it may be used is another question."""
    try:
        return LoginToken(refresh_token)  # type: ignore[arg-type]  # it takes text, its hint is wrong
    except TokenError:
        raise BadToken from None


def _login_of(token: LoginToken) -> Login | None:
    """The login, locked, where the token is the valid one, or the one before within RETRY.

    None where it is neither; a token that has been used before then ends the login. The digest of
    the password is compared as for an access token.
    """
    key = parse_uuid(token.get(LOGIN_CLAIM, ""))
    logins = Login.objects.annotate(read_at=Now()).select_related("user")
    login = lock_row(logins, key, no_key=False, patient=True, of=("self",)) if key else None
    if login is None or not login.user.is_active:
        return None
    if token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(login.user.password):
        return None
    used = token[api_settings.JTI_CLAIM]
    if used == login.token_id:
        return login
    read_at: datetime = login.read_at  # type: ignore[attr-defined]  # annotated above
    if used == login.spent_id and login.spent_at and read_at - login.spent_at < RETRY:
        return login
    login.delete()
    extra = {"login_id": str(key), "user_id": str(login.user_id)}
    logger.warning("a refresh token was used twice: its login is ended", extra=extra)
    return None


def _taken() -> Invalid:
    return Invalid({"username": TAKEN})


def _wrong_password() -> Invalid:
    return Invalid({"old_password": "This is not your password."})
