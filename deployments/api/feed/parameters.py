"""The query string of an organization's feed."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from drf_yasg import openapi

from accounts.api.requests import UserRequest
from clusters.api.named_filters import a_cluster
from deployments.api.finding.named import a_user
from deployments.feed import window
from deployments.feed.window import Entry
from deployments.models import EventType
from mlops_platform.api.answers.commit_order import NOW, Horizon, Position, cursor_of, position_of
from mlops_platform.api.answers.pagination import limit_of
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.requests import PAGING, query_of
from mlops_platform.api.schema import parameter

SINCE = "since"
LAST_EVENT_ID = "Last-Event-ID"
IDS = {
    "cluster_id": "Only those of this cluster.",
    "deployment_id": "Only those of this deployment.",
    "actor_id": "Only what this user asked for.",
}
NAMED = {
    "cluster": "Only those of this cluster: its name or its id.",
    "actor": "Only what this user asked for: a name or an id, or `me`.",
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
    *(parameter(name, openapi.TYPE_STRING, said) for name, said in NAMED.items()),
]

OF_STREAMS = parameter(
    LAST_EVENT_ID,
    openapi.TYPE_STRING,
    "Of a stream alone: the `id` of the last event that came, where to go on. Goes before `since`.",
    at=openapi.IN_HEADER,
)


class EventQuery(NamedTuple):
    """Which events of an organization, from where on. `parameter` is the name under which the
    cursor came."""

    organization_id: UUID
    parameter: str
    cursor: str | None
    limit: int
    filter: Callable[[Entry], bool] | None

    def start(self, seen: Horizon) -> tuple[Position, str]:
        """Where to begin, and a cursor for it. One query where no cursor came."""
        if self.cursor is None:
            position, at = window.oldest(self.organization_id, seen)
            return position, cursor_of(position, seen, at)
        position = position_of(self.cursor, seen, parameter=self.parameter, kept=window.kept())
        return position, cursor_of(position, seen) if self.cursor == NOW else self.cursor


def wanted_events(request: UserRequest, organization_id: UUID) -> EventQuery:
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
    if "cluster" in values:
        wanted["cluster_id"] = a_cluster(request.user, values["cluster"], organization_id)
    if "actor" in values:
        wanted["actor_id"] = a_user(request.user, values["actor"], "actor")
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

    limit, cursor = limit_of(request), values.get(name)
    return EventQuery(organization_id, name, cursor, limit, fits if wanted else None)


def wanted_stream(request: UserRequest, organization_id: UUID) -> EventQuery:
    """As above, for a stream: the header of a client that connects again goes before the query."""
    if "limit" in request.query_params:
        raise Invalid({"limit": "A stream has no pages."})
    query = wanted_events(request, organization_id)
    last = request.headers.get(LAST_EVENT_ID)
    return query._replace(parameter=LAST_EVENT_ID, cursor=last) if last else query
