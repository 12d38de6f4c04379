"""Organizations and users by their names, as far as a user may see them.

Letter case does not count. A name of what the user may not see is answered as one of nothing.
"""

from uuid import UUID

from django.db.models import QuerySet, Value
from django.db.models.functions import Lower

from accounts.models import User
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.names import is_lookable
from organizations.access import organizations_of
from organizations.models import Organization


def organization_named(user: User, name: str) -> UUID:
    """The id of one of the user's organizations; 404 where none has that name. One query."""
    own = Organization.objects.filter(pk__in=organizations_of(user))
    found = own.alias(lower=Lower("name")).filter(lower=Lower(Value(name)))
    return _first(found)


def organization_given(user: User, text: str) -> UUID:
    """The id that the text spells, or that of the user's organization of that name; 404 where none
    has it. One query for a name, none for an id."""
    found = parse_uuid(text)
    if found is None and not is_lookable(text):
        raise not_found()
    return found or organization_named(user, text)


def user_named(name: str) -> UUID:
    """The id of a user, whom the caller has to look for among those that may be seen; 404 where
    there is none. One query."""
    return _first(User.objects.named(name))


def _first(found: QuerySet) -> UUID:
    key: UUID | None = found.values_list("pk", flat=True).first()
    if key is None:
        raise not_found()
    return key
