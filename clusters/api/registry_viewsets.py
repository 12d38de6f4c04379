"""The registry calls: parse, call one service or query, answer. For ADMINs, reading too."""

from uuid import UUID

from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.callers import caller
from clusters import queries
from clusters.api.registry_serializers import NewRegistrySerializer, RegistrySerializer
from clusters.models import Cluster, Registry
from clusters.services import registries
from mlops_platform.api.requests import body_of, query_of
from mlops_platform.api.schema import error
from organizations.models import Role

NOT_HERE = error(
    "A simulated cluster, or too many",
    "simulated",
    "A simulated cluster pulls no images.",
)
TOO_LOW = error(
    "Role too low", "permission_denied", "This needs the role ADMIN; yours is DEVELOPER."
)


class RegistryViewSet(GenericViewSet):
    queryset = Registry.objects.none()

    @swagger_auto_schema(
        operation_summary="The registries that a cluster has credentials for",
        operation_description="For ADMINs. Passwords are never shown.",
        tags=["clusters"],
        responses={200: RegistrySerializer(many=True), 403: TOO_LOW},
    )
    def list(self, request: Request, cluster_id: UUID) -> Response:
        cluster = _of_admin(request, cluster_id)
        query_of(request)
        page = self.paginate_queryset(queries.registries_in(cluster))
        return self.get_paginated_response(RegistrySerializer(page, many=True).data)

    @swagger_auto_schema(
        operation_summary="Give credentials for a registry",
        operation_description=(
            "They are used for images whose reference begins with the host, in docker and "
            "kubernetes clusters. Those that there are for the same host are replaced, user name "
            "and password, and keep their id."
        ),
        tags=["clusters"],
        request_body=NewRegistrySerializer,
        responses={201: RegistrySerializer, 409: NOT_HERE},
    )
    def create(self, request: Request, cluster_id: UUID) -> Response:
        cluster = _of_admin(request, cluster_id)
        registry = registries.put_registry(cluster, **body_of(request, NewRegistrySerializer))
        return Response(RegistrySerializer(registry).data, status=201)

    @swagger_auto_schema(
        operation_summary="Forget the credentials for a registry",
        operation_description="What has been pulled with them stays on the nodes.",
        tags=["clusters"],
        responses={204: "Gone"},
    )
    def destroy(self, request: Request, cluster_id: UUID, registry_id: UUID) -> Response:
        registry = queries.registry_for(caller(request), cluster_id, registry_id)
        registries.delete_registry(registry)
        return Response(status=204)


def _of_admin(request: Request, cluster_id: UUID) -> Cluster:
    return queries.cluster_for(caller(request), cluster_id, Role.ADMIN)
