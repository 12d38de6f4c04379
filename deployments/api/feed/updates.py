"""Lists with `?updated_after=`: which deployments have changed since a cursor, as they are now."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters.models import Cluster
from deployments.api.feed import following
from deployments.api.finding.parts import fields_of
from deployments.api.representation import present_page
from deployments.feed import pages, window
from deployments.models import Deployment
from deployments.queries.lists import DeploymentList
from mlops_platform.api.answers.commit_order import position_of
from mlops_platform.api.answers.pagination import limit_of
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import parse_uuid
from organizations.access import organizations_of

PARAMETER = "updated_after"
NOT_BESIDE = ("ordering", "cursor", "total")


def are_asked_for(request: Request) -> bool:
    return PARAMETER in request.query_params


def of_user(request: UserRequest, deployments: QuerySet[Deployment]) -> Response:
    """Of all of the user's organizations. One query more than `in_cluster`."""
    organizations = [each["organization"] for each in organizations_of(request.user)]
    cluster_id = parse_uuid(request.query_params.get("cluster_id", ""))
    return _changed(request, deployments, organizations, cluster_id)


def in_cluster(
    request: UserRequest, deployments: QuerySet[Deployment], cluster: Cluster
) -> Response:
    return _changed(request, deployments, [cluster.organization_id], cluster.pk)


def _changed(
    request: UserRequest,
    deployments: QuerySet[Deployment],
    organizations: Sequence[UUID],
    cluster_id: UUID | None,
) -> Response:
    """Two queries, three with rows, and those of the rows (present_page)."""
    faults = {
        name: f"Not with {PARAMETER}: rows come in the order of their changes."
        for name in NOT_BESIDE
        if name in request.query_params
    }
    if faults:
        raise Invalid(faults)
    assert isinstance(deployments, DeploymentList)
    limit = limit_of(request)
    seen = window.seen_now()
    given = request.query_params[PARAMETER]
    after = position_of(given, seen, parameter=PARAMETER, kept=window.kept())
    found = pages.deployments_after(
        deployments, organizations, after, seen, limit=limit, cluster_id=cluster_id
    )
    rows = present_page(found.rows, fields_of(request))
    return following.answer(request, PARAMETER, rows, found, seen)
