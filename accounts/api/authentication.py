"""Finds the user of a request: by an access token, or by an API key, both after the word Bearer.

A request with a key makes one query, as one with an access token does, and once a minute another
that notes the use.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from accounts.keys import services, tokens
from accounts.keys.queries import ReadKey, key_of
from accounts.models import User
from mlops_platform.api import tenant
from mlops_platform.api.scopes import KeyScope, scope_needed

UNKNOWN = "No key of this platform reads like this; was it copied whole?"
REVOKED = "This API key has been revoked; make another one."
EXPIRED = "This API key has expired; make another one."
INACTIVE = "The user of this API key is deactivated or was removed."


@dataclass(frozen=True, slots=True)
class UsedKey:
    """The key of a request: its `auth`."""

    id: UUID
    name: str
    scope: KeyScope
    expires_at: datetime
    left_s: float
    token: str

    def __repr__(self) -> str:
        return f"UsedKey({self.id})"


class BearerAuthentication(JWTAuthentication):
    """Access tokens as simplejwt reads them, and API keys."""

    def authenticate(self, request: Request) -> Any:
        """The user, and the token or the UsedKey; None without either."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if tokens.PREFIX not in header:
            return super().authenticate(request)
        scheme, *rest = header.split()
        if scheme.lower() != "bearer" or len(rest) != 1 or not rest[0].startswith(tokens.PREFIX):
            return super().authenticate(request)
        try:
            found = _found(rest[0])
        except AuthenticationFailed:
            tenant.authenticated.get()(None)
            raise
        used = _used(found, rest[0])
        if not found.use_is_noted:
            services.touch(used.id)
        user = found.key.user
        user.api_key = used.name
        tenant.authenticated.get()(user.pk)
        request._request.user = user  # the request's line in the log names it, also if refused
        _refuse_beyond_scope(request, used)
        return user, used


def user_of_key(used: UsedKey) -> User:
    """The user, found anew for a request that goes on; 401 where the key does not count any more.
    One query."""
    return _found(used.token).key.user


def _found(token: str) -> ReadKey:
    """401 with a sentence for a key that is unknown, revoked or expired, or whose user is gone."""
    found = key_of(token)
    if found is None:
        raise AuthenticationFailed(UNKNOWN, "api_key_unknown")
    if found.key.revoked_at is not None:
        raise AuthenticationFailed(REVOKED, "api_key_revoked")
    if found.is_expired:
        raise AuthenticationFailed(EXPIRED, "api_key_expired")
    if not found.key.user.is_active:
        raise AuthenticationFailed(INACTIVE, "user_inactive")
    return found


def _used(found: ReadKey, token: str) -> UsedKey:
    key = found.key
    left_s = (key.expires_at - found.read_at).total_seconds()
    return UsedKey(key.pk, key.name, KeyScope(key.scope), key.expires_at, left_s, token)


def _refuse_beyond_scope(request: Request, used: UsedKey) -> None:
    """403 for a call that no key, or no key of this scope, may make."""
    view = request.parser_context["view"]
    if view.action is None:  # the method is not allowed, which another sentence says
        return
    needed = scope_needed(view, request.method or "")
    if needed is None:
        raise PermissionDenied("No API key may do this; log in with a password.", "not_with_a_key")
    if not used.scope.includes(needed):
        raise PermissionDenied(
            f"This needs a key of the scope {needed}; this one's is {used.scope}.", "scope_too_low"
        )
