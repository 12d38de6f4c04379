"""What the scheduler shows: a cluster's state, its queue, and the ledger of its decisions."""

from uuid import UUID

from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from accounts.api.callers import caller
from clusters.api.serializers import ClusterSerializer
from clusters.queries import cluster_for
from deployments.api.serializers import SubmitSerializer
from deployments.models import Deployment
from deployments.queries import deployment_for, positions_of, priority_classes, reasons_for
from deployments.services.drafts import draft_deployment
from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import body_of, query_of
from scheduler import queries, quotes
from scheduler.api.serializers import (
    ActivitySerializer,
    CycleSerializer,
    CycleWithPlanSerializer,
    StatusSerializer,
    WaitingSerializer,
)
from scheduler.api.whatif_serializers import ExplanationSerializer, QuoteSerializer
from scheduler.explain import explain
from scheduler.models import SchedulingCycle
from scheduler.status import status_of


class ClusterStatusView(ViewSet):
    @swagger_auto_schema(
        operation_summary="A cluster at a glance: capacity, queues, the last cycle",
        tags=["clusters"],
        responses={200: StatusSerializer},
    )
    def retrieve(self, request: Request, cluster_id: UUID) -> Response:
        cluster = cluster_for(caller(request), cluster_id)
        activity = ActivitySerializer(status_of(cluster))
        return Response({**ClusterSerializer(cluster).data, **activity.data})


class QueueView(GenericViewSet):
    queryset = Deployment.objects.none()

    @swagger_auto_schema(
        operation_summary="Who waits, in the order in which they will be looked at, and why",
        tags=["clusters"],
        responses={200: WaitingSerializer(many=True)},
    )
    def list(self, request: Request, cluster_id: UUID) -> Response:
        query_of(request)
        cluster = cluster_for(caller(request), cluster_id)
        page = self.paginate_queryset(queries.queue_of(cluster)) or []
        context = {
            "reasons": reasons_for(page),
            "positions": positions_of(page, list(priority_classes())),
        }
        answer = WaitingSerializer(page, many=True, context=context)
        return self.get_paginated_response(answer.data)


class QuoteView(ViewSet):
    @swagger_auto_schema(
        operation_summary="What a submit would get, told before it is made",
        operation_description=(
            "Takes the body of a submit and writes nothing. Submit with the `token` as `quote` to "
            "get exactly that, or 409 where the cluster has changed meanwhile."
        ),
        tags=["deployments"],
        request_body=SubmitSerializer,
        responses={200: QuoteSerializer},
    )
    def create(self, request: Request) -> Response:
        body = body_of(request, SubmitSerializer)
        if body.pop("quote", None) is not None:
            raise Invalid({"quote": "Quotes a submit, not a quote."})
        draft = draft_deployment(
            caller(request), body.pop("cluster_id"), body, priority=body.pop("priority")
        )
        answer = quotes.quote(caller(request), draft.deployment, draft.digest, draft.dependencies)
        return Response(QuoteSerializer(answer).data)


class ExplainView(ViewSet):
    @swagger_auto_schema(
        operation_summary="Why it waits, who holds what it needs, and what would start it now",
        tags=["deployments"],
        responses={200: ExplanationSerializer},
    )
    def retrieve(self, request: Request, deployment_id: UUID) -> Response:
        deployment = deployment_for(caller(request), deployment_id)
        return Response(ExplanationSerializer(explain(deployment)).data)


class CycleViewSet(GenericViewSet):
    queryset = SchedulingCycle.objects.none()

    @swagger_auto_schema(
        operation_summary="The cycles that changed something, newest first",
        tags=["ledger"],
        responses={200: CycleSerializer(many=True)},
    )
    def list(self, request: Request, cluster_id: UUID) -> Response:
        query_of(request)
        cluster = cluster_for(caller(request), cluster_id)
        page = self.paginate_queryset(queries.cycles_of(cluster))
        return self.get_paginated_response(CycleSerializer(page, many=True).data)

    @swagger_auto_schema(
        operation_summary="One cycle with its plan: who started, who yielded, who waits and why",
        tags=["ledger"],
        responses={200: CycleWithPlanSerializer},
    )
    def retrieve(self, request: Request, cycle_id: UUID) -> Response:
        cycle = queries.cycle_for(caller(request), cycle_id)
        return Response(CycleWithPlanSerializer(cycle).data)
