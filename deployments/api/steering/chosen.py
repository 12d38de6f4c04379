"""Which deployments an action is for: by ids, or by the filters of a list."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.http import QueryDict

from accounts.api.requests import UserRequest
from clusters.queries import clusters_visible_to
from deployments.api.filters import AllFilterSet
from deployments.models import Deployment
from deployments.queries.deployments import deployments_visible_to
from deployments.queries.lists import deployments_of
from deployments.services.many import MOST, Refusal, missing
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid

NOTHING = "Give at least one: an action on all deployments is not offered."
TOO_MANY = f"More than {MOST:,} deployments match: narrow it."


def by_ids(request: UserRequest, ids: Sequence[str]) -> tuple[list[Deployment], list[Refusal]]:
    """The deployments that the user may see, in the order given, and a refusal for each other id.
    One query."""
    keys = {text: parse_uuid(text) for text in ids}
    visible = deployments_visible_to(request.user)
    found = visible.in_bulk([key for key in keys.values() if key])
    rows: dict[UUID, Deployment] = {}
    for key in keys.values():
        if key is not None and key in found:
            rows[key] = found[key]
    return list(rows.values()), missing([text for text, key in keys.items() if key not in found])


def by_filter(request: UserRequest, given: Mapping[str, Any]) -> list[Deployment]:
    """What a list with these filters shows, newest first. 400 that names the faulty filter, where
    there is none, and for more than MOST. The queries of a list."""
    if not given:
        raise Invalid({"filter": NOTHING})
    texts = QueryDict(mutable=True)
    for name, value in given.items():
        if name not in AllFilterSet.base_filters:
            raise Invalid({f"filter.{name[:100]}": "Unknown filter."})
        values = value if isinstance(value, list) else [value]
        if not values or any(not isinstance(each, str) or "\x00" in each for each in values):
            raise Invalid({f"filter.{name}": "A text, or a list of texts."})
        if len(values) > 1 and not AllFilterSet.base_filters[name].several:
            raise Invalid({f"filter.{name}": "Give it once."})
        texts.setlist(name, values)
    visible = deployments_of(clusters_visible_to(request.user))
    filters = AllFilterSet(texts, visible, request=request)
    if not filters.is_valid():
        faults = {f"filter.{name}": str(each[0]) for name, each in filters.errors.items()}
        raise Invalid(faults)
    rows: list[Deployment] = filters.qs.first_rows(MOST + 1)
    if len(rows) > MOST:
        raise Invalid({"filter": TOO_MANY})
    return rows
