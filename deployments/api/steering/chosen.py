"""Which deployments an action is for: by ids, or by the filters of a list."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.serializers import ValidationError

from accounts.api.requests import UserRequest
from clusters.queries import clusters_visible_to
from deployments.api.finding.filters import AllFilterSet
from deployments.models import Deployment
from deployments.queries.deployments import deployments_visible_to
from deployments.queries.lists import deployments_of
from deployments.services.many import MOST, Refusal, missing
from mlops_platform.api.errors import LONGEST_NAME, MOST_FAULTS, Invalid
from mlops_platform.api.ids import parse_uuid

NOTHING = "Give at least one: an action on all deployments is not offered."
TOO_MANY = f"More than {MOST:,} deployments match: narrow it."


class Filter(serializers.DictField):
    """The filters of a list by name. Their values are judged once the list is read."""


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
    texts, faults = QueryDict(mutable=True), dict[str, list[str]]()
    for name, value in islice(given.items(), MOST_FAULTS):
        known = AllFilterSet.base_filters.get(name)
        values = value if isinstance(value, list) else [value]
        if known is None:
            faults[name[:LONGEST_NAME]] = ["Unknown filter."]
        elif not values or not all(isinstance(each, str) for each in values):
            faults[name] = ["A text, or a list of texts."]
        elif len(values) > 1 and not known.several:
            faults[name] = ["Give it once."]
        else:
            texts.setlist(name, values)
    visible = deployments_of(clusters_visible_to(request.user))
    filters = AllFilterSet(texts, visible, request=request)
    if not faults and not filters.is_valid():
        faults = {name: [str(each[0])] for name, each in filters.errors.items()}
    if faults:
        raise ValidationError({"filter": faults})
    rows: list[Deployment] = filters.qs.first_rows(MOST + 1)
    if len(rows) > MOST:
        raise Invalid({"filter": TOO_MANY})
    return rows
