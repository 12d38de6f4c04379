"""A request of a user, as the views of every app get it."""

from rest_framework.request import Request

from accounts.models import User


class UserRequest(Request):
    """A request that IsAuthenticated has let through. For the types only: DRF makes a Request."""

    user: User
