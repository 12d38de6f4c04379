"""Registers users, logs them in and out, and changes their profiles."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from rest_framework.exceptions import APIException
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.models import User, UserProfile
from mlops_platform.api.errors import Invalid


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


def register(username: str, password: str, email: str = "") -> User:
    """A new user. 400 naming `username` if taken in any letter case, `password` if weak."""
    user = User(username=username, email=User.objects.normalize_email(email))
    if User.objects.named(username).exists():
        raise _taken()
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({"password": " ".join(error.messages)}) from None
    user.set_password(password)  # slow on purpose, so outside the transaction
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:  # another user has registered the name meanwhile
        raise _taken() from None
    return user


def log_in(username: str, password: str) -> TokenPair:
    """A first pair of tokens. 401 with the same message, after the same time, for every failure:
    Django hashes the password for unknown names and deactivated users too."""
    user = authenticate(username=username, password=password)
    if not isinstance(user, User):
        raise BadCredentials
    return _pair_for(user)


@transaction.atomic
def rotate(refresh_token: str) -> TokenPair:
    """A new pair of tokens for a refresh token, which is used up by that. 401 where it was
    before."""
    return _pair_for(_spend(refresh_token))


@transaction.atomic
def log_out(refresh_token: str) -> None:
    """End a refresh token; the access tokens of its login expire within minutes."""
    _spend(refresh_token)


@transaction.atomic
def change_profile(
    user: User, *, email: str | None = None, profile: Mapping[str, str] | None = None
) -> None:
    """Set what is given; the rest stays as it is."""
    if email is not None:
        user.email = User.objects.normalize_email(email)
        user.save(update_fields=["email"])
    if profile:
        UserProfile.objects.update_or_create(user=user, defaults=profile)


def _pair_for(user: User) -> TokenPair:
    refresh = RefreshToken.for_user(user)
    return TokenPair(access_token=str(refresh.access_token), refresh_token=str(refresh))


def _spend(refresh_token: str) -> User:
    """The user of a refresh token, which is used up: of several calls at the same time only one
    succeeds.

    The unique row in the blacklist decides: the other inserts wait for the first to commit. The
    digest of the password is compared as for an access token; simplejwt's own refresh omits that.
    """
    try:
        token = RefreshToken(refresh_token)  # type: ignore[arg-type]  # it takes text, its hint is wrong
    except TokenError:
        raise BadToken from None
    user = User.objects.filter(pk=token[api_settings.USER_ID_CLAIM], is_active=True).first()
    if user is None:
        raise BadToken
    if token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise BadToken
    outstanding = OutstandingToken.objects.filter(jti=token[api_settings.JTI_CLAIM]).first()
    if outstanding is None or not BlacklistedToken.objects.get_or_create(token=outstanding)[1]:
        raise BadToken
    return user


def _taken() -> Invalid:
    return Invalid({"username": "A user with that name exists already."})
