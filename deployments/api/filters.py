"""The query string of a deployment list: which ones, in which order."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_yasg import openapi

from accounts.models import User
from deployments.models import Deployment, Status
from deployments.queries import priority_classes
from mlops_platform.api.errors import Invalid

# Each ends in a unique column: pages neither repeat nor skip a row. The id carries the time of
# submit (scheduling_key.py), so order by id alone is order by that time, and an index leads to any
# page.
ORDERINGS = {
    "created_at": ("id",),
    "-created_at": ("-id",),
    "priority": ("priority_class__value", "id"),
    "-priority": ("-priority_class__value", "-id"),
    "name": ("name", "id"),
    "-name": ("-name", "-id"),
    "status": ("status", "id"),
    "-status": ("-status", "-id"),
}


def filtered(
    deployments: QuerySet[Deployment], values: Mapping[str, str], user: User
) -> QuerySet[Deployment]:
    """Narrowed and ordered as the query string's `values` say; 400 naming each bad one."""
    faults: dict[str, str] = {}
    conditions: dict[str, Any] = {}
    for name, (column, read) in FILTERS.items():
        if name in values:
            try:
                conditions[column] = read(values[name], user)
            except ValueError as error:
                faults[name] = str(error)
    ordering = ORDERINGS.get(values.get("ordering", "-created_at"))
    if ordering is None:
        faults["ordering"] = f"One of {', '.join(ORDERINGS)}."
    if faults or ordering is None:
        raise Invalid(faults)
    return deployments.filter(**conditions).order_by(*ordering)


def _an_id(text: str, user: User) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("Not an id.") from None


def _an_owner(text: str, user: User) -> UUID:
    return user.pk if text == "me" else _an_id(text, user)


def _a_status(text: str, user: User) -> str:
    if text.upper() not in Status.values:
        raise ValueError(f"One of {', '.join(Status.values)}.")
    return text.upper()


def _a_priority(text: str, user: User) -> str:
    classes = priority_classes()
    if text.upper() not in classes:
        raise ValueError(f"One of {', '.join(classes)}.")
    return text.upper()


def _a_moment(text: str, user: User) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("Not a time; one is written like 2026-03-01T09:00:00Z.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


# parameter -> the column it narrows, and how its text is read
FILTERS: Mapping[str, tuple[str, Callable[[str, User], Any]]] = {
    "cluster_id": ("cluster", _an_id),
    "status": ("status", _a_status),
    "priority": ("priority_class__name", _a_priority),
    "owner": ("owner", _an_owner),
    "created_after": ("created_at__gt", _a_moment),
}

_SAID = {
    "cluster_id": "Only those of this cluster.",
    "status": f"One of {', '.join(Status.values)}.",
    "priority": "A priority class, in any letter case.",
    "owner": "A user's id, or `me`.",
    "created_after": "RFC 3339.",
    "ordering": f"One of {', '.join(ORDERINGS)}; newest first without it.",
}
NAMES = tuple(_SAID)
PARAMETERS = [
    openapi.Parameter(name, openapi.IN_QUERY, type=openapi.TYPE_STRING, description=said)
    for name, said in _SAID.items()
]
# Where the path names the cluster already.
NAMES_IN_CLUSTER = NAMES[1:]
PARAMETERS_IN_CLUSTER = PARAMETERS[1:]
