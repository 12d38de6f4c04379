"""The list of deployments: filtered, in pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.http import HttpRequest, QueryDict

from accounts.models import User
from clusters.queries import clusters_visible_to
from deployments.api.finding.filters import DeploymentFilterSet
from deployments.api.pagination import DeploymentPagination
from deployments.models import Deployment, Status
from deployments.queries.deployments import without_large
from deployments.queries.lists import deployments_of
from deployments.queries.priority_classes import priority_classes
from mlops_platform.api.errors import Invalid
from mlops_platform.console.errors import words
from mlops_platform.console.pages.rows import Row, rows_of

PER_PAGE = "50"
FILTERS = ("name", "status", "owner", "cluster_id", "priority", "label", "reason", "sweep")
"""Those of the list that the page offers, or leads to."""


class ClusterChoice(NamedTuple):
    id: str
    text: str


@dataclass(frozen=True)
class Deployments:
    rows: list[Row] = field(default_factory=list)
    given: Mapping[str, str] = field(default_factory=dict)
    """The filters by name, as the form shows them."""
    chosen: tuple[str, ...] = ()
    """Statuses."""
    statuses: tuple[str, ...] = tuple(Status.values)
    clusters: list[ClusterChoice] = field(default_factory=list)
    priorities: list[str] = field(default_factory=list)
    next_page: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Why a filter cannot be read, by its name; then there are no rows."""

    @property
    def is_filtered(self) -> bool:
        return bool(self.chosen or any(self.given.values()))


def deployments(user: User, request: HttpRequest) -> Deployments:
    """What the query string of the request asks for, in the words of the API's list."""
    asked = filters_in(request.GET)
    visible = clusters_visible_to(user)
    rows, next_page, faults = list[Deployment](), "", dict[str, str]()
    try:
        rows, next_page = _page(user, request, asked)
    except Invalid as error:
        named: Any = error.detail  # by the names of filters
        faults = {name: words(each) for name, each in named.items()}
    return Deployments(
        rows=rows_of(user, rows),
        given={name: " ".join(asked.getlist(name)) for name in FILTERS if name != "status"},
        chosen=tuple(asked.getlist("status")),
        clusters=[ClusterChoice(str(each.pk), each.name) for each in visible],
        priorities=list(priority_classes()),
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


class _Asked(NamedTuple):
    """What the API's pagination reads of a request."""

    query_params: Any
    address: str

    def build_absolute_uri(self) -> str:
        return self.address


def _page(user: User, request: HttpRequest, asked: QueryDict) -> tuple[list[Deployment], str]:
    """The rows, and the address of the next page."""
    visible = without_large(deployments_of(clusters_visible_to(user)))
    filters = DeploymentFilterSet(asked, visible, request=request)
    if not filters.is_valid():
        raise Invalid({name: str(each[0]) for name, each in filters.errors.items()})
    params = {"limit": PER_PAGE}
    if cursor := request.GET.get("cursor"):
        params["cursor"] = cursor
    pagination = DeploymentPagination()
    address = request.get_full_path()
    rows = pagination.paginate_queryset(filters.qs, _Asked(params, address))  # type: ignore[arg-type]  # all that it reads
    return rows, pagination.next_link or ""
