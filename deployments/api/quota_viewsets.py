"""The quota calls: parse, call one service or query, answer.

They are here and not in clusters, as each answer shows the allocation of the user's deployments.
"""

from typing import Any
from uuid import UUID

from rest_framework.decorators import action
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters.api.nested import ClusterChildViewSet
from clusters.api.quota_serializers import LimitsSerializer, QuotaSerializer
from clusters.models import Quota
from clusters.queries import quota_in, quotas_in
from clusters.services import quotas
from deployments.api import docs
from deployments.queries.allocations import allocated_in
from mlops_platform.api.routers import ID_OR_NAME
from organizations.models import Role


class QuotaViewSet(ClusterChildViewSet):
    """The quotas that users have of their own and, at `default`, that of all other users."""

    roles = {
        "list": Role.VIEWER,
        "retrieve": Role.VIEWER,
        "update": Role.ADMIN,
        "destroy": Role.ADMIN,
        "default": Role.VIEWER,
        "set_default": Role.ADMIN,
        "delete_default": Role.ADMIN,
    }
    bodies = {"update": LimitsSerializer, "set_default": LimitsSerializer}
    docs = docs.QUOTAS
    serializer_class = QuotaSerializer
    queryset = Quota.objects.none()
    lookup_url_kwarg = "user_id"
    lookup_value_converter = ID_OR_NAME

    def list(self, request: UserRequest, cluster_id: UUID) -> Response:
        found = self.filter_queryset(quotas_in(self.get_cluster()))
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response(_shown(page, cluster_id))

    def retrieve(
        self, request: UserRequest, cluster_id: UUID, user_id: UUID | None = None
    ) -> Response:
        quota = quota_in(self.get_cluster(), user_id)
        return Response(_shown([quota], cluster_id)[0])

    def update(
        self, request: UserRequest, cluster_id: UUID, user_id: UUID | None = None
    ) -> Response:
        quota, created = quotas.put_quota(self.get_cluster(), user_id, self.body())
        return Response(_shown([quota], cluster_id)[0], status=201 if created else 200)

    def destroy(
        self, request: UserRequest, cluster_id: UUID, user_id: UUID | None = None
    ) -> Response:
        quotas.delete_quota(self.get_cluster(), user_id)
        return Response(status=204)

    @action(detail=False)
    def default(self, request: UserRequest, **path: Any) -> Response:
        return self.retrieve(request, **path)

    @default.mapping.put
    def set_default(self, request: UserRequest, **path: Any) -> Response:
        return self.update(request, **path)

    @default.mapping.delete
    def delete_default(self, request: UserRequest, **path: Any) -> Response:
        return self.destroy(request, **path)


def _shown(page: list[Quota], cluster_id: UUID) -> list[dict[str, object]]:
    """The answers, each with the allocation of the user's deployments. At most one query."""
    users = [quota.user_id for quota in page if quota.user_id is not None]
    allocated = allocated_in([cluster_id], owner__in=users).get(cluster_id, {})
    return list(QuotaSerializer(page, many=True, context={"allocated": allocated}).data)
