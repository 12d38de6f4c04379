"""Pages of deployment lists."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from deployments.api.finding.totals import TOTAL, is_asked_for, total_of
from deployments.models import Deployment
from deployments.queries.lists import DeploymentList
from mlops_platform.api.answers.pagination import MAX_LIMIT, KeysetPagination, bad_cursor

KINDS = {"id": UUID, "name": str, "status": str, "priority_class__value": int}
"""The type of each column of an ordering."""


class DeploymentPagination(KeysetPagination):
    """Reads each page as ranges of indexes (queries/lists.py). With `?total=true`, a header says
    how many rows there are on all pages; one query more."""

    total: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        if is_asked_for(request):
            self.total = total_of(queryset.selection)
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        if self.total is not None:
            response[TOTAL] = self.total
        return response

    def ordering_of(self, queryset: DeploymentList) -> tuple[str, ...]:
        return queryset.selection.ordering

    def after(
        self, queryset: DeploymentList, ordering: Sequence[str], key: Sequence[Any]
    ) -> DeploymentList:
        columns = queryset.selection.columns
        try:
            values = tuple(_value(column, each) for column, each in zip(columns, key, strict=True))
        except (TypeError, ValueError):
            raise bad_cursor() from None
        return queryset.narrowed(after=values)

    def first_rows(self, queryset: DeploymentList, count: int) -> list[Deployment]:
        return queryset.first_rows(count)

    def _page(
        self, queryset: DeploymentList, ordering: Sequence[str], limit: int
    ) -> tuple[list[Deployment], bool]:
        """Where a client goes on from the time of the last row, the page also has all others of
        that time: bulks of earlier versions have one millisecond. Then one query more."""
        rows, more = super()._page(queryset, ordering, limit)
        if more and queryset.selection.created_before is not None:
            end = rows[-1].created_at + timedelta(microseconds=1)
            equal = queryset.narrowed(after=(rows[-1].pk,), created_before=end)
            rows += equal.first_rows(MAX_LIMIT)
        return rows, more


def _value(column: str, given: Any) -> Any:
    kind: Any = KINDS[column]
    if kind is UUID:
        return UUID(str(given))
    if type(given) is not kind or (kind is int and abs(given) >= 2**31):
        raise ValueError
    return given
