"""The cluster calls: parse, call one service or query, answer."""

from uuid import UUID

from drf_yasg import openapi
from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.callers import caller
from clusters import queries
from clusters.api.serializers import (
    ChangeClusterSerializer,
    ClusterSerializer,
    NewClusterSerializer,
)
from clusters.models import Cluster
from clusters.services import attach, clusters
from mlops_platform.api.requests import body_of, flag_of, query_of
from mlops_platform.api.schema import error
from organizations.models import Role

FORCE = openapi.Parameter(
    "force",
    openapi.IN_QUERY,
    type=openapi.TYPE_BOOLEAN,
    description="Also stop and delete what waits or runs there.",
)
NO_ORGANIZATION = error(
    "No such organization, or not yours",
    "not_found",
    "There is nothing here, or it is not yours to see.",
)
NAME_TAKEN = error(
    "Name taken", "name_taken", "The organization has a cluster named 'gpu-west' already."
)
BELOW_ALLOCATED = error(
    "Below what is allocated, or name taken",
    "below_allocated",
    "GPUs: 6 allocated, so the total cannot be 4.",
)
IN_USE = error(
    "Still in use",
    "cluster_in_use",
    "3 deployments wait or run here: stop them first, or delete with ?force=true.",
)


class ClusterViewSet(GenericViewSet):
    queryset = Cluster.objects.none()

    @swagger_auto_schema(
        operation_summary="Create a cluster",
        tags=["clusters"],
        request_body=NewClusterSerializer,
        responses={201: ClusterSerializer, 404: NO_ORGANIZATION, 409: NAME_TAKEN},
    )
    def create(self, request: Request) -> Response:
        body = body_of(request, NewClusterSerializer)
        cluster = attach.create_cluster(caller(request), body.pop("organization_id"), body)
        return Response(ClusterSerializer(cluster).data, status=201)

    @swagger_auto_schema(
        operation_summary="The clusters of your organizations",
        tags=["clusters"],
        responses={200: ClusterSerializer(many=True)},
    )
    def list(self, request: Request) -> Response:
        query_of(request)
        page = self.paginate_queryset(queries.clusters_visible_to(caller(request))) or []
        queries.attach_api_servers(page)
        return self.get_paginated_response(ClusterSerializer(page, many=True).data)

    @swagger_auto_schema(
        operation_summary="One cluster, with what is free of it",
        tags=["clusters"],
        responses={200: ClusterSerializer},
    )
    def retrieve(self, request: Request, cluster_id: UUID) -> Response:
        cluster = queries.cluster_for(caller(request), cluster_id)
        return Response(ClusterSerializer(cluster).data)

    @swagger_auto_schema(
        operation_summary="Change a cluster's name, totals, policy or state",
        operation_description="What is not given stays as it is.",
        tags=["clusters"],
        request_body=ChangeClusterSerializer,
        responses={200: ClusterSerializer, 409: BELOW_ALLOCATED},
    )
    def partial_update(self, request: Request, cluster_id: UUID) -> Response:
        cluster = queries.cluster_for(caller(request), cluster_id, Role.ADMIN)
        body = body_of(request, ChangeClusterSerializer)
        return Response(ClusterSerializer(attach.change_cluster(cluster, body)).data)

    @swagger_auto_schema(
        operation_summary="Delete a cluster with its history",
        operation_description=(
            "Where containers run in it, `?force=true` stops them first: 202, and its state is "
            "DELETING until it is gone."
        ),
        tags=["clusters"],
        manual_parameters=[FORCE],
        responses={
            202: openapi.Response("Gone once what runs there has been stopped", ClusterSerializer),
            204: "Gone",
            409: IN_USE,
        },
    )
    def destroy(self, request: Request, cluster_id: UUID) -> Response:
        cluster = queries.cluster_for(caller(request), cluster_id, Role.ADMIN)
        closing = clusters.delete_cluster(cluster, force=flag_of(request, "force"))
        if closing is None:
            return Response(status=204)
        return Response(ClusterSerializer(closing).data, status=202)
