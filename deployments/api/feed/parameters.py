"""The query string of an organization's feed."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from drf_yasg import openapi

from accounts.api.requests import UserRequest
from clusters.api.named_filters import a_cluster
from deployments.api.finding.named import a_user
from deployments.feed import window
from deployments.feed.window import DEPLOYMENT, Entry, Part
from deployments.models import EventType
from mlops_platform.api.answers.commit_order import NOW, Horizon, Position, cursor_of, position_of
from mlops_platform.api.answers.pagination import limit_of
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.requests import PAGING, query_of
from mlops_platform.api.schema import parameter
from organizations.events.models import OrganizationEventType, TargetType

SINCE = "since"
LAST_EVENT_ID = "Last-Event-ID"
IDS = {
    "cluster_id": "Only those of this cluster.",
    "deployment_id": "Only those of this deployment.",
    "actor_id": "Only what this user asked for.",
}
TYPES = sorted({*EventType.values, *OrganizationEventType.values})
TARGET_TYPES = [DEPLOYMENT, *TargetType.values]
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
    parameter("type", openapi.TYPE_STRING, "One type of event.", enum=TYPES),
    parameter(
        "target_type",
        openapi.TYPE_STRING,
        "What the events happened to. Other than `deployment`, they go back for as long as events "
        "are kept for audits.",
        enum=TARGET_TYPES,
    ),
    parameter(
        "target",
        openapi.TYPE_STRING,
        "What the events happened to: its id, or, of all but deployments, its name.",
    ),
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
    part: Part = Part.ALL
    hidden: Collection[str] = ()
    """The types of targets of which the user may read nothing."""

    @property
    def seen_by_filter(self) -> Callable[[Entry], bool] | None:
        """The filter of a stream, whose reader reads for all users."""
        if not self.hidden:
            return self.filter
        fits = self.filter
        return lambda entry: entry.target_type not in self.hidden and (fits is None or fits(entry))

    def start(self, seen: Horizon) -> tuple[Position, str]:
        """Where to begin, and a cursor for it. One query where no cursor came."""
        if self.cursor is None:
            position, at = window.oldest(self.organization_id, seen, self.part)
            return position, cursor_of(position, seen, at)
        kept = window.kept(self.part)
        position = position_of(self.cursor, seen, parameter=self.parameter, kept=kept)
        return position, cursor_of(position, seen) if self.cursor == NOW else self.cursor


def wanted_events(
    request: UserRequest, organization_id: UUID, hidden: Collection[str]
) -> EventQuery:
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
    for name, known in (("type", TYPES), ("target_type", TARGET_TYPES)):
        if name in values:
            if values[name] not in known:
                faults[name] = f"One of {', '.join(known)}."
            wanted[name] = values[name]
    if SINCE in values and "cursor" in values:
        faults[SINCE] = "Either this or cursor."
    if faults:
        raise Invalid(faults)
    name = SINCE if SINCE in values else "cursor"

    target = values.get("target")
    of_target = (target and str(parse_uuid(target) or target)) or None

    def fits(entry: Entry) -> bool:
        if of_target is not None and of_target not in (entry.target_id, entry.target_name):
            return False
        return all(getattr(entry, column) == value for column, value in wanted.items())

    return EventQuery(
        organization_id,
        name,
        values.get(name),
        limit_of(request),
        fits if wanted or of_target else None,
        _part(wanted),
        hidden,
    )


def _part(wanted: Mapping[str, UUID | str]) -> Part:
    """What has to be read for these values."""
    target_type, type_ = wanted.get("target_type"), wanted.get("type")
    if target_type == DEPLOYMENT or "deployment_id" in wanted:
        return Part.DEPLOYMENTS
    if target_type is not None or (type_ and type_ not in EventType.values):
        return Part.ELSE
    return Part.ALL if type_ is None or type_ == EventType.CLUSTER_DELETED else Part.DEPLOYMENTS


def wanted_stream(
    request: UserRequest, organization_id: UUID, hidden: Collection[str]
) -> EventQuery:
    """As above, for a stream: the header of a client that connects again goes before the query."""
    if "limit" in request.query_params:
        raise Invalid({"limit": "A stream has no pages."})
    query = wanted_events(request, organization_id, hidden)
    last = request.headers.get(LAST_EVENT_ID)
    return query._replace(parameter=LAST_EVENT_ID, cursor=last) if last else query
