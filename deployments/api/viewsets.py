"""The deployment calls: parse, call one service or query, answer."""

from uuid import UUID

from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.callers import caller
from clusters.queries import cluster_for
from deployments import queries
from deployments.api import filters, headers
from deployments.api.representation import (
    DeploymentSerializer,
    EventSerializer,
    present,
    present_new,
    present_one,
)
from deployments.api.serializers import (
    ChangeDeploymentSerializer,
    CheckpointSerializer,
    StopOfClusterSerializer,
    SubmitSerializer,
)
from deployments.models import Deployment, DeploymentEvent
from deployments.services import checkpoint, stop, submit, update
from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import PAGING, body_of, query_of
from mlops_platform.api.schema import error
from mlops_platform.api.serializers import NothingSerializer
from organizations.models import Role

NO_CLUSTER = error(
    "No such cluster, or not yours",
    "not_found",
    "There is nothing here, or it is not yours to see.",
)
KEY_REUSED = error(
    "Key used with another body",
    "idempotency_key_reused",
    "This Idempotency-Key came with another body before.",
)
NOT_QUEUED = error(
    "Too late for that",
    "not_queued",
    "What it asks for can change only while it is QUEUED; it is RUNNING.",
)
NOT_RUNNING = error("Not running", "not_running", "Only what runs can report a checkpoint.")


class DeploymentViewSet(GenericViewSet):
    queryset = Deployment.objects.none()

    @swagger_auto_schema(
        operation_summary="Submit a deployment",
        tags=["deployments"],
        manual_parameters=[headers.PARAMETER],
        request_body=SubmitSerializer,
        responses={201: DeploymentSerializer, 404: NO_CLUSTER, 409: KEY_REUSED},
    )
    def create(self, request: Request) -> Response:
        body = body_of(request, SubmitSerializer)
        quote = body.pop("quote", None)
        deployment, replayed, class_names, dependencies = submit.create_deployment(
            caller(request),
            body.pop("cluster_id"),
            priority=body.pop("priority"),
            spec=body,
            idempotency_key=headers.idempotency_key(request),
            quote=quote,
        )
        if quote is not None and not replayed:
            return Response(present_one(queries.deployment_by_id(deployment.pk)), status=201)
        if replayed:
            return Response(present_one(deployment), 201, headers={headers.REPLAYED: "true"})
        [answer] = present_new([deployment], class_names, {deployment.pk: dependencies})
        return Response(answer, status=201)

    @swagger_auto_schema(
        operation_summary="The deployments of your organizations",
        tags=["deployments"],
        manual_parameters=filters.PARAMETERS,
        responses={200: DeploymentSerializer(many=True)},
    )
    def list(self, request: Request) -> Response:
        values = query_of(request, (*filters.NAMES, *PAGING))
        visible = queries.deployments_visible_to(caller(request))
        page = self.paginate_queryset(filters.filtered(visible, values, caller(request)))
        return self.get_paginated_response(present(page or []))

    @swagger_auto_schema(
        operation_summary="One deployment: its state, and why it waits",
        tags=["deployments"],
        responses={200: DeploymentSerializer},
    )
    def retrieve(self, request: Request, deployment_id: UUID) -> Response:
        return Response(present_one(queries.deployment_for(caller(request), deployment_id)))

    @swagger_auto_schema(
        operation_summary="Change its name, priority or request",
        operation_description=(
            "The name at any time, the priority until it ends, the request while it is QUEUED."
        ),
        tags=["deployments"],
        request_body=ChangeDeploymentSerializer,
        responses={200: DeploymentSerializer, 409: NOT_QUEUED},
    )
    def partial_update(self, request: Request, deployment_id: UUID) -> Response:
        deployment = _writable(request, deployment_id)
        body = body_of(request, ChangeDeploymentSerializer)
        changed = update.change_deployment(
            caller(request), deployment, priority=body.pop("priority", None), changes=body
        )
        return Response(present_one(changed))

    @swagger_auto_schema(
        operation_summary="Stop it",
        operation_description="Stopping twice is fine.",
        tags=["deployments"],
        request_body=NothingSerializer,
        responses={200: DeploymentSerializer},
    )
    def stop(self, request: Request, deployment_id: UUID) -> Response:
        deployment = _writable(request, deployment_id)
        body_of(request, NothingSerializer)
        return Response(present_one(stop.stop_deployment(caller(request), deployment)))

    @swagger_auto_schema(
        operation_id="deployments_stop_of_cluster",
        operation_summary="Stop it, as older clients do",
        operation_description="400 if it is not of that cluster.",
        tags=["deployments"],
        request_body=StopOfClusterSerializer,
        responses={200: DeploymentSerializer},
    )
    def stop_of_cluster(self, request: Request, deployment_id: UUID) -> Response:
        deployment = _writable(request, deployment_id)
        body = body_of(request, StopOfClusterSerializer)
        if body["cluster_id"].lower() != str(deployment.cluster_id):
            raise Invalid({"cluster_id": "The deployment is not of this cluster."})
        return Response(present_one(stop.stop_deployment(caller(request), deployment)))

    @swagger_auto_schema(
        operation_summary="Stop it",
        operation_description="Its history stays. Stopping twice is fine.",
        tags=["deployments"],
        responses={204: "Stopped"},
    )
    def destroy(self, request: Request, deployment_id: UUID) -> Response:
        stop.stop_deployment(caller(request), _writable(request, deployment_id))
        return Response(status=204)

    @swagger_auto_schema(
        operation_summary="Report a checkpoint: what came before it is safe",
        operation_description="The scheduler counts only what came after as lost by an eviction.",
        tags=["deployments"],
        request_body=CheckpointSerializer,
        responses={200: DeploymentSerializer, 409: NOT_RUNNING},
    )
    def checkpoint(self, request: Request, deployment_id: UUID) -> Response:
        deployment = _writable(request, deployment_id)
        at = body_of(request, CheckpointSerializer).get("at")
        reported = checkpoint.report_checkpoint(caller(request), deployment, at)
        return Response(present_one(reported))


class ClusterDeploymentsViewSet(GenericViewSet):
    queryset = Deployment.objects.none()

    @swagger_auto_schema(
        operation_summary="The deployments of one cluster",
        tags=["deployments"],
        manual_parameters=filters.PARAMETERS_IN_CLUSTER,
        responses={200: DeploymentSerializer(many=True)},
    )
    def list(self, request: Request, cluster_id: UUID) -> Response:
        cluster = cluster_for(caller(request), cluster_id)
        values = query_of(request, (*filters.NAMES_IN_CLUSTER, *PAGING))
        inside = queries.deployments_in(cluster)
        page = self.paginate_queryset(filters.filtered(inside, values, caller(request)))
        return self.get_paginated_response(present(page or []))


class EventViewSet(GenericViewSet):
    queryset = DeploymentEvent.objects.none()

    @swagger_auto_schema(
        operation_summary="Its timeline, oldest first",
        tags=["deployments"],
        responses={200: EventSerializer(many=True)},
    )
    def list(self, request: Request, deployment_id: UUID) -> Response:
        deployment = queries.deployment_for(caller(request), deployment_id)
        query_of(request)
        page = self.paginate_queryset(queries.events_of(deployment))
        return self.get_paginated_response(EventSerializer(page, many=True).data)


def _writable(request: Request, deployment_id: UUID) -> Deployment:
    return queries.deployment_for(caller(request), deployment_id, Role.DEVELOPER)
