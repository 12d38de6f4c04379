"""What organizations ask of the apps above: each hook is a function that an upper app sets in its
`AppConfig.ready`.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from organizations.models import Secret


class Users(NamedTuple):
    """The deployments that use a secret and have not ended: how many, and what the first of them
    are called."""

    number: int
    first: Sequence[str]


class UsersOf(Protocol):
    """Who uses a secret now, of whom `most` are named. The caller has locked the secret's row."""

    def __call__(self, secret: Secret, most: int) -> Users: ...


class NameDeployments(Protocol):
    """The name and the owner's name of each of these deployments, by id as text; none for one that
    is gone."""

    def __call__(self, ids: Iterable[UUID]) -> Mapping[str, tuple[str, str]]: ...


class DeleteClusters(Protocol):
    """Deletes all clusters of an organization in the caller's transaction, the rows of their
    histories afterwards. 409 while anything waits or runs in one of them, unless forced; with force
    also while containers run, which have to be stopped first. The caller has locked the
    organization's row."""

    def __call__(self, organization_id: UUID, *, force: bool = False) -> None: ...


def _none(secret: Secret, most: int) -> Users:
    """Without an upper app nothing is deployed."""
    return Users(0, ())


def _no_names(ids: Iterable[UUID]) -> Mapping[str, tuple[str, str]]:
    return {}


def _no_clusters(organization_id: UUID, *, force: bool = False) -> None:
    """Without an upper app there are none."""


users_of: UsersOf = _none
name_deployments: NameDeployments = _no_names
delete_clusters: DeleteClusters = _no_clusters
