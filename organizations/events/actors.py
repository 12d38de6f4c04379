"""By whom or by what the present change is made."""

from typing import NamedTuple
from uuid import UUID

from accounts.models import User
from mlops_platform import logs
from organizations.events.models import ActorKind

OPERATORS_PAGES = "/admin/"


class Actor(NamedTuple):
    """Of events: the user, if any, by id and by name, with the API key by which it acts."""

    kind: ActorKind
    id: UUID | None = None
    name: str | None = None
    api_key: str | None = None


def acting(user: User | None = None) -> Actor:
    """The user, or that of the request which is under way; else the cycle, or the platform."""
    user = user or _user_of_request()
    if user is not None:
        return Actor(_kind_of(user), user.pk, user.username, user.api_key)
    return Actor(ActorKind.CYCLE if logs.cycle_id.get() else ActorKind.PLATFORM)


def _kind_of(user: User) -> ActorKind:
    request = logs.http_request.get()
    if request is not None and request.path.startswith(OPERATORS_PAGES):
        return ActorKind.OPERATOR
    return ActorKind.KEY if user.api_key else ActorKind.USER


def _user_of_request() -> User | None:
    user = getattr(logs.http_request.get(), "user", None)
    return user if user is not None and user.is_authenticated else None
