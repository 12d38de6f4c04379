"""The list of deployments: filtered, in pages; without filters a sweep is one row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.http import HttpRequest, QueryDict
from django.urls import reverse

from accounts.models import User
from clusters.queries import clusters_visible_to
from deployments.api.finding.filters import DeploymentFilterSet
from deployments.api.pagination import DeploymentPagination
from deployments.models import ENDED, Deployment, Status, Sweep
from deployments.queries.conditions import is_no_member
from deployments.queries.lists import DeploymentList, deployments_of
from deployments.queries.sweeps import Progress, progress_of, sweeps_visible_to
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.console.errors import words
from mlops_platform.console.pages.rows import Row, for_rows, rows_of

PER_PAGE = 50
FILTERS = ("name", "status", "owner", "cluster_id", "priority", "label", "reason", "sweep")
"""Those of the API's list that the page offers, or leads to."""
OF_SWEEPS = frozenset({"owner", "cluster_id"})
"""With no others a sweep is one row."""
TONES = {
    Status.COMPLETED: "done",
    Status.FAILED: "bad",
    Status.STOPPED: "quiet",
    Status.RUNNING: "good",
    Status.STARTING: "busy",
    Status.STOPPING: "busy",
    Status.QUEUED: "waiting",
}


class ClusterChoice(NamedTuple):
    id: str
    text: str


class SweepRow(NamedTuple):
    """A sweep as one row: how many of its members are in which status, in words and as a bar."""

    id: UUID
    name: str
    status: str
    owner: str
    is_mine: bool
    cluster: str
    counts: str
    bar: list[tuple[str, float]]
    submitted_at: datetime


@dataclass(frozen=True)
class Deployments:
    rows: Sequence[Row | SweepRow] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    """The filters by name, as the form shows them."""
    chosen: tuple[str, ...] = ()
    """Statuses."""
    statuses: tuple[str, ...] = tuple(Status.values)
    clusters: Sequence[ClusterChoice] = ()
    query: str = ""
    """The filters as a query string."""
    next_page: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Why a filter cannot be read, by its name; then there are no rows."""

    @property
    def is_filtered(self) -> bool:
        return bool(self.query)


def deployments(user: User, request: HttpRequest) -> Deployments:
    """What the query string of the request asks for, in the words of the API's list."""
    asked = filters_in(request.GET)
    rows, next_page, faults = list[Row | SweepRow](), "", dict[str, str]()
    try:
        narrowed = _narrowed(user, request, asked)
        if OF_SWEEPS.issuperset(asked):
            rows, next_page = _with_sweeps(user, request, narrowed)
        else:
            rows, next_page = _members_too(user, request, narrowed)
    except Invalid as error:
        named: Any = error.detail  # by the names of filters
        faults = {name: words(each) for name, each in named.items()}
    return Deployments(
        rows=rows,
        given={name: " ".join(asked.getlist(name)) for name in FILTERS if name != "status"},
        chosen=tuple(asked.getlist("status")),
        clusters=[ClusterChoice(str(each.pk), each.name) for each in clusters_visible_to(user)],
        query=asked.urlencode(),
        next_page=next_page,
        faults=faults,
    )


def filters_in(query: QueryDict) -> QueryDict:
    """Without the fields that a form sends empty; several labels are given with spaces between."""
    found = QueryDict(mutable=True)
    for name in FILTERS:
        values = [each.strip() for each in query.getlist(name) if each.strip()]
        if name == "label":
            values = [label for each in values for label in each.split()]
        if values:
            found.setlist(name, values)
    return found


def _narrowed(user: User, request: HttpRequest, asked: QueryDict) -> DeploymentList:
    """400 that names the faulty filters. Queries for names of users alone."""
    visible = for_rows(deployments_of(clusters_visible_to(user)))
    filters = DeploymentFilterSet(asked, visible, request=request)
    if not filters.is_valid():
        raise Invalid({name: str(each[0]) for name, each in filters.errors.items()})
    narrowed: DeploymentList = filters.qs
    return narrowed


def _with_sweeps(
    user: User, request: HttpRequest, narrowed: DeploymentList
) -> tuple[list[Row | SweepRow], str]:
    """Deployments of no sweep, and sweeps, by the time of submit. The queries of rows, and two."""
    before = parse_uuid(request.GET.get("before", ""))
    single = narrowed.that(is_no_member())
    sweeps = sweeps_visible_to(user).defer("parameters")
    chosen = narrowed.selection
    if chosen.owner is not None:
        sweeps = sweeps.filter(owner=chosen.owner)
    if cluster := parse_uuid(request.GET.get("cluster_id", "")):
        sweeps = sweeps.filter(cluster_id=cluster)
    if before is not None:
        single, sweeps = single.narrowed(after=(before,)), sweeps.filter(pk__lt=before)
    found: list[Deployment | Sweep] = [
        *single.first_rows(PER_PAGE + 1),
        *sweeps[: PER_PAGE + 1],
    ]
    found.sort(key=lambda each: each.pk, reverse=True)
    shown = found[:PER_PAGE]
    alone = rows_of(user, [each for each in shown if isinstance(each, Deployment)])
    progress = progress_of(each for each in shown if isinstance(each, Sweep))
    by_id: dict[UUID, Row | SweepRow] = {row.id: row for row in alone}
    for each in shown:
        if isinstance(each, Sweep):
            by_id[each.pk] = _sweep_row(user, each, progress[each.pk])
    query = filters_in(request.GET)
    query["before"] = str(shown[-1].pk) if shown else ""
    more = len(found) > PER_PAGE
    return [by_id[each.pk] for each in shown], f"?{query.urlencode()}" if more else ""


def _sweep_row(user: User, sweep: Sweep, progress: Progress) -> SweepRow:
    counts = dict(progress.counts)
    known_ended = sum(counts.get(each, 0) for each in ENDED)
    if gone := progress.ended - known_ended:  # the retention has deleted them
        counts[Status.COMPLETED] = counts.get(Status.COMPLETED, 0) + gone
    in_order = [(status, counts[status]) for status in TONES if counts.get(status)]
    return SweepRow(
        id=sweep.pk,
        name=sweep.name,
        status=progress.status,
        owner=sweep.owner.username,
        is_mine=sweep.owner_id == user.pk,
        cluster=sweep.cluster.name,
        counts=", ".join(f"{count} {status.lower()}" for status, count in in_order),
        bar=[(TONES[status], count / progress.size) for status, count in in_order],
        submitted_at=sweep.created_at,
    )


class _Asked(NamedTuple):
    """What the API's pagination reads of a request."""

    query_params: Mapping[str, str]
    address: str

    def build_absolute_uri(self) -> str:
        return self.address


def _members_too(
    user: User, request: HttpRequest, narrowed: DeploymentList
) -> tuple[list[Row | SweepRow], str]:
    params = {"limit": str(PER_PAGE)}
    if cursor := request.GET.get("cursor"):
        params["cursor"] = cursor
    pagination = DeploymentPagination()
    asked: Any = _Asked(params, request.get_full_path())
    rows = rows_of(user, pagination.paginate_queryset(narrowed, asked))
    return [*rows], pagination.next_link or ""


def list_address(query: str) -> str:
    """Of the page with these filters."""
    address = reverse("console:deployments")
    return f"{address}?{query}" if query else address
