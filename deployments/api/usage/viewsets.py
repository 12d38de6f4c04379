"""The usage of an organization and its prices: parse, read, answer."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from deployments.api.usage import docs
from deployments.api.usage.answering import csv_answer, groups_of
from deployments.api.usage.parameters import CSV, wanted_usage
from deployments.api.usage.serializers import PricesSerializer, PutPricesSerializer
from deployments.api.usage.shown import shown, total_of
from deployments.models import AllocationInterval
from deployments.usage.prices import prices_of, put_prices
from mlops_platform.api.answers.renderers import CsvRenderer
from organizations.api.permissions import NamedRoleViewSet
from organizations.models import Role


class ByAccept(DefaultContentNegotiation):
    """The Accept header alone chooses: `format` is a parameter of the call."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)


class UsageViewSet(NamedRoleViewSet):
    roles = {
        "usage": Role.VIEWER,
        "prices": Role.VIEWER,
        "put_prices": Role.ADMIN,
        "delete_prices": Role.ADMIN,
    }
    bodies = {"put_prices": PutPricesSerializer}
    docs = docs.USAGE
    queryset = AllocationInterval.objects.none()
    pagination_class = None
    content_negotiation_class = ByAccept

    @action(detail=False, renderer_classes=[JSONRenderer, CsvRenderer])
    def usage(self, request: UserRequest, organization_id: UUID) -> HttpResponseBase:
        """Four queries with the user's."""
        self.check_role(organization_id)
        question, kind = wanted_usage(request, organization_id)
        groups = groups_of(question)
        if kind == CSV:
            return csv_answer(question, groups)
        answer: dict[str, Any] = {
            "begin": question.begin,
            "end": question.end,
            "group_by": question.group_by,
            "results": [shown(each) for each in groups],
            "total": total_of(groups),
        }
        return Response(answer, content_type="application/json")

    @action(detail=False)
    def prices(self, request: UserRequest, organization_id: UUID) -> Response:
        self.check_role(organization_id)
        return Response(PricesSerializer({"prices": prices_of(organization_id)}).data)

    @prices.mapping.put
    def put_prices(self, request: UserRequest, organization_id: UUID) -> Response:
        self.check_role(organization_id)
        prices = put_prices(request.user, organization_id, self.body()["prices"])
        return Response(PricesSerializer({"prices": prices}).data)

    @prices.mapping.delete
    def delete_prices(self, request: UserRequest, organization_id: UUID) -> Response:
        put_prices(request.user, organization_id, [])
        return Response(status=204)
