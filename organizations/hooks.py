"""What organizations ask of the apps above: each hook is a function that an upper app sets in its
`AppConfig.ready`.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from organizations.models import Secret


class Users(NamedTuple):
    """The deployments that use a secret and have not ended: how many, and the first of them."""

    number: int
    first: Sequence[UUID]


class UsersOf(Protocol):
    """Who uses a secret now, of whom `most` are named. The caller has locked the secret's row."""

    def __call__(self, secret: Secret, most: int) -> Users: ...


def _none(secret: Secret, most: int) -> Users:
    """Without an upper app nothing is deployed."""
    return Users(0, ())


users_of: UsersOf = _none
