"""Pages of what has changed: events, and deployments as they are now."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from deployments.feed import window
from deployments.feed.window import LATER, Entry, Part
from deployments.models import Deployment, DeploymentEvent
from deployments.queries.lists import DeploymentList
from mlops_platform.api.answers.commit_order import Horizon, Position
from mlops_platform.api.answers.pagination import read_within_budget
from organizations.models import OrganizationEvent

FeedEvent = DeploymentEvent | OrganizationEvent
Row = TypeVar("Row")


class Changes(NamedTuple, Generic[Row]):
    """Rows in the order of their changes. `end` is where to go on; `more`: at once. `at` is when
    the event at `end` was written; None where all that there is has been read."""

    rows: list[Row]
    end: Position
    more: bool
    at: datetime | None


def events_after(
    organization_id: UUID,
    after: Position,
    seen: Horizon,
    *,
    limit: int,
    wanted: Callable[[Entry], bool] | None = None,
    part: Part = Part.ALL,
    hidden: Collection[str] = (),
) -> Changes[FeedEvent]:
    """The next events of an organization, but for those of `hidden` types of targets. One query,
    and one for each of the two tables that has some."""
    most = window.WINDOW if wanted else limit
    found = window.read([organization_id], after, seen, most, part=part, hidden=hidden)
    chosen = [each for each in found.entries if wanted is None or wanted(each)]
    end, more, at = found.end, found.more, found.at
    if len(chosen) > limit:
        chosen, more = chosen[:limit], True
        end, at = chosen[-1].position, chosen[-1].at
    rows, count = rows_of(chosen)
    if count < len(chosen):
        return Changes(rows, chosen[count - 1].position, True, chosen[count - 1].at)
    return Changes(rows, end, more, at)


def rows_of(entries: Sequence[Entry]) -> tuple[list[FeedEvent], int]:
    """The events of the first entries, as many as a page may have in bytes, and how many entries
    that were. Up to two queries for every 101 entries."""
    return read_within_budget([each.position.row for each in entries], _events)


def deployments_after(
    visible: DeploymentList,
    organizations: Sequence[UUID],
    after: Position,
    seen: Horizon,
    *,
    limit: int,
    cluster_id: UUID | None = None,
) -> Changes[Deployment]:
    """Deployments that have changed, each once, as they are now, and only those of `visible`.

    A row is at least as new as the position that comes with it. Two queries.
    """
    found = window.read(organizations, after, seen, part=Part.DEPLOYMENTS)
    last: dict[UUID, Entry] = {}  # each deployment's last event, in their order
    end, more, at = found.end, found.more, found.at
    before: Entry | None = None
    for each in found.entries:
        key = each.deployment_id
        if key is not None and cluster_id in (None, each.cluster_id):
            if before is not None and key not in last and len(last) == limit:
                end, more, at = before.position, True, before.at
                break
            last.pop(key, None)
            last[key] = each
        before = each
    keys = list(last)
    rows, count = read_within_budget(keys, lambda some: _among(visible, some))
    if count < len(keys):
        to = last[keys[count - 1]]
        return Changes(rows, to.position, True, to.at)
    return Changes(rows, end, more, at)


def position_of_row(event: FeedEvent) -> Position:
    """Its place in the feed."""
    assert event.transaction_id is not None
    return Position(event.transaction_id, row_of(event))


def row_of(event: FeedEvent) -> int:
    return event.pk + LATER if isinstance(event, OrganizationEvent) else event.pk


def _events(rows: Sequence[int]) -> dict[int, FeedEvent]:
    of_deployments = [row for row in rows if row < LATER]
    of_else = [row - LATER for row in rows if row >= LATER]
    found: dict[int, FeedEvent] = {}
    if of_deployments:
        found |= DeploymentEvent.objects.select_related("actor").in_bulk(of_deployments)
    if of_else:
        events = OrganizationEvent.objects.in_bulk(of_else)
        found |= {pk + LATER: event for pk, event in events.items()}
    return found


def _among(visible: DeploymentList, ids: Sequence[UUID]) -> dict[UUID, Deployment]:
    return {row.pk: row for row in visible.among(ids)}
