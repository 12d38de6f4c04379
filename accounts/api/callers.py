"""Who calls, as the views of every app need it."""

from typing import cast

from rest_framework.request import Request

from accounts.models import User


def caller(request: Request) -> User:
    """The user behind the request; IsAuthenticated has seen to it that there is one."""
    return cast(User, request.user)
