"""The query string of an organization's feed."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from drf_yasg import openapi
from rest_framework.request import Request

from deployments.feed.window import Entry, kept
from deployments.models import EventType
from mlops_platform.api.commit_order import NOW, START, Horizon, Position, position_of
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.pagination import limit_of
from mlops_platform.api.requests import PAGING, query_of
from mlops_platform.api.schema import parameter

SINCE = "since"
IDS = {
    "cluster_id": "Only those of this cluster.",
    "deployment_id": "Only those of this deployment.",
    "actor_id": "Only what this user asked for.",
}
PARAMETERS = [
    parameter(
        SINCE,
        openapi.TYPE_STRING,
        f"The `Next-Cursor` of an earlier answer, or the `cursor` of an event; `{NOW}`: from now "
        "on. Without it from the oldest that is kept.",
    ),
    parameter("type", openapi.TYPE_STRING, "One type of event.", enum=EventType.values),
    *(
        parameter(name, openapi.TYPE_STRING, said, format=openapi.FORMAT_UUID)
        for name, said in IDS.items()
    ),
]


class EventQuery(NamedTuple):
    """Which events, from where on. `parameter` is the name under which the cursor came."""

    parameter: str
    cursor: str | None
    limit: int
    filter: Callable[[Entry], bool] | None

    def start(self, seen: Horizon) -> Position:
        if self.cursor is None:
            return START
        return position_of(self.cursor, seen, parameter=self.parameter, kept=kept())


def wanted_events(request: Request) -> EventQuery:
    """What the query string asks for; 400 that names each faulty parameter."""
    values = query_of(request, [*(each.name for each in PARAMETERS), *PAGING])
    faults: dict[str, str] = {}
    wanted: dict[str, UUID | str] = {}
    for name in IDS:
        if name in values:
            found = parse_uuid(values[name])
            if found is None:
                faults[name] = "Not an id."
            else:
                wanted[name] = found
    if "type" in values:
        if values["type"] not in EventType.values:
            faults["type"] = f"One of {', '.join(EventType.values)}."
        wanted["type"] = values["type"]
    if SINCE in values and "cursor" in values:
        faults[SINCE] = "Either this or cursor."
    if faults:
        raise Invalid(faults)
    name = SINCE if SINCE in values else "cursor"

    def fits(entry: Entry) -> bool:
        return all(getattr(entry, column) == value for column, value in wanted.items())

    return EventQuery(name, values.get(name), limit_of(request), fits if wanted else None)
