"""Filters that take the name of a user where they take an id; for those of clusters and
organizations see clusters/api/named_filters.py."""

from uuid import UUID

from accounts.models import User
from clusters.api.named_filters import UNKNOWN
from deployments.queries.owners import owner_named
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.names import is_lookable

ME = "me"


def a_user(user: User, text: str, parameter: str) -> UUID:
    """`me`, an id, or the name of a member, or of a former one with deployments. One query for a
    name."""
    if text == ME:
        return user.pk
    found = parse_uuid(text) or (owner_named(user, text) if is_lookable(text) else None)
    if found is None:
        raise Invalid({parameter: UNKNOWN.format(what="a user")})
    return found
