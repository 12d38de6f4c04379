"""What a caller can do about their own account."""

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
    """401 everywhere: DRF's AuthenticationFailed becomes 403 where a view authenticates no user, as
    register, login, refresh and logout do."""

    status_code = 401
    auth_header = 'Bearer realm="api"'  # answered as WWW-Authenticate


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
    token_type: str = "bearer"  # noqa: S105  # a kind of token, not one


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
    except IntegrityError:  # somebody took the name in between
        raise _taken() from None
    return user


def log_in(username: str, password: str) -> TokenPair:
    """A first pair of tokens. 401 in the same words and the same time for whatever is wrong:

    Django hashes the password for unknown names and deactivated users too.
    """
    user = authenticate(username=username, password=password)
    if not isinstance(user, User):
        raise BadCredentials
    return _pair_for(user)


@transaction.atomic
def rotate(refresh_token: str) -> TokenPair:
    """A new pair for a refresh token that is dead from now on. 401 where it was so before."""
    return _pair_for(_spend(refresh_token))


@transaction.atomic
def log_out(refresh_token: str) -> None:
    """Ends a refresh token; the access tokens of its login end by themselves within minutes."""
    _spend(refresh_token)


@transaction.atomic
def change_profile(
    user: User, *, email: str | None = None, profile: Mapping[str, str] | None = None
) -> None:
    """Writes what is given and leaves the rest as it is."""
    if email is not None:
        user.email = User.objects.normalize_email(email)
        user.save(update_fields=["email"])
    if profile:
        UserProfile.objects.update_or_create(user=user, defaults=profile)


def _pair_for(user: User) -> TokenPair:
    refresh = RefreshToken.for_user(user)
    return TokenPair(access_token=str(refresh.access_token), refresh_token=str(refresh))


def _spend(refresh_token: str) -> User:
    """Whose token it is, once: of several who spend it at the same time one gets an answer.

    The unique row in the blacklist decides: the others' inserts wait for the first to commit. The
    password's digest is compared as the bearer login does, which simplejwt's own refresh omits.
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
    drawn = OutstandingToken.objects.filter(jti=token[api_settings.JTI_CLAIM]).first()
    if drawn is None or not BlacklistedToken.objects.get_or_create(token=drawn)[1]:
        raise BadToken
    return user


def _taken() -> Invalid:
    return Invalid({"username": "A user with that name exists already."})
