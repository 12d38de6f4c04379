"""A request of a user, as the views of every app get it."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from rest_framework.request import Request
from rest_framework_simplejwt.settings import api_settings

from accounts.api.authentication import UsedKey, user_of_key
from accounts.models import User


class UserRequest(Request):
    """A request that IsAuthenticated has let through. For the types only: DRF makes a Request."""

    user: User


class Bearer(NamedTuple):
    """The user of a request that goes on for long, as the access token says."""

    user_id: UUID
    authenticate: Callable[[], User]
    """Finds the user anew; raises 401 where the token does not count any more. One query."""
    expires_in_s: float


def bearer_of(request: UserRequest) -> Bearer:
    authenticator: Any = request.successful_authenticator
    token: Any = request.auth
    if isinstance(token, UsedKey):
        return Bearer(request.user.pk, lambda: user_of_key(token), token.left_s)
    left_s = token["exp"] - time.time() + api_settings.LEEWAY.total_seconds()
    return Bearer(request.user.pk, lambda: authenticator.get_user(token), left_s)
