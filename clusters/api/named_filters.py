"""Filters that take the name of a cluster or an organization where they take its id.

A name is looked for among what the caller may see: any other one is refused with the same sentence.
"""

from collections.abc import Callable
from uuid import UUID

from rest_framework.exceptions import NotFound

from accounts.models import User
from clusters.names import cluster_named
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.names import is_lookable
from organizations.names import organization_named

UNKNOWN = "Neither an id nor the name of {what} that you may see."


def a_cluster(user: User, text: str, organization_id: UUID | None = None) -> UUID:
    """An id, or the name of a cluster, in that organization where one is given. 409 for the name of
    several. One query for a name."""

    def find(name: str) -> UUID:
        return cluster_named(user, name, organization_id)

    return _id_of(text, find, "cluster", "a cluster")


def an_organization(user: User, text: str) -> UUID:
    """An id, or the name of an organization. One query for a name."""

    def find(name: str) -> UUID:
        return organization_named(user, name)

    return _id_of(text, find, "organization", "an organization")


def _id_of(text: str, find: Callable[[str], UUID], parameter: str, what: str) -> UUID:
    if found := parse_uuid(text):
        return found
    try:
        if is_lookable(text):
            return find(text)
    except NotFound:
        pass
    raise Invalid({parameter: UNKNOWN.format(what=what)})
