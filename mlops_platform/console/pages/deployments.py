"""The list of deployments: filtered, in pages; without filters a sweep is one row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.http import HttpRequest, QueryDict
from django.urls import reverse

from accounts.models import User
from clusters.queries import clusters_visible_to
from deployments.api.finding.filters import DeploymentFilterSet
from deployments.api.pagination import DeploymentPagination
from deployments.models import Deployment, Status, Sweep
from deployments.queries.conditions import is_no_member
from deployments.queries.lists import DeploymentList, deployments_of
from deployments.queries.sweeps import sweeps_visible_to
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.console.errors import words
from mlops_platform.console.pages.rows import Row, for_rows, rows_of
from mlops_platform.console.pages.sweeps import SweepRow, sweep_rows

PER_PAGE = 50
FILTERS = ("name", "status", "owner", "cluster_id", "priority", "label", "reason", "sweep")
"""Those of the API's list that the page offers, or leads to."""
OF_SWEEPS = frozenset({"owner", "cluster_id"})
"""With no others a sweep is one row."""


class ClusterChoice(NamedTuple):
    id: str
    text: str


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
    swept = sweep_rows(user, [each for each in shown if isinstance(each, Sweep)])
    rows: list[Row | SweepRow] = [*alone, *swept]
    by_id = {row.id: row for row in rows}
    query = filters_in(request.GET)
    query["before"] = str(shown[-1].pk) if shown else ""
    more = len(found) > PER_PAGE
    return [by_id[each.pk] for each in shown], f"?{query.urlencode()}" if more else ""


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
