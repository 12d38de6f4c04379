"""What the scheduler shows: a cluster's state, its queue, and the ledger of its decisions."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters.api.nested import ClusterChildViewSet
from clusters.api.serializers import ClusterSerializer
from deployments.api.nested import DeploymentChildViewSet
from deployments.api.serializers import SubmitSerializer
from deployments.house import rules
from deployments.models import Deployment
from deployments.queries.deployments import positions_of
from deployments.queries.priority_classes import priority_classes
from deployments.reasons.reader import reasons_for
from deployments.services.drafting.drafts import draft_deployment
from mlops_platform.api.errors import Invalid
from mlops_platform.api.scopes import KeyScope
from mlops_platform.api.throttling.concurrency import slot
from mlops_platform.api.throttling.throttles import ExplainThrottle, QuoteThrottle
from organizations.api.permissions import RoleViewSet
from organizations.models import Role
from scheduler import queries
from scheduler.answers import quotes
from scheduler.answers.explain import explain
from scheduler.answers.shares import shares_of
from scheduler.api import docs
from scheduler.api.serializers import (
    ActivitySerializer,
    CycleSerializer,
    CycleWithPlanSerializer,
    WaitingSerializer,
)
from scheduler.api.utilization import UtilizationSerializer, wanted_span
from scheduler.api.whatif_serializers import ExplanationSerializer, QuoteSerializer
from scheduler.models import SchedulingCycle
from scheduler.samples.reading import utilization
from scheduler.status import status_of


class ClusterStatusViewSet(ClusterChildViewSet):
    roles = {"status": Role.VIEWER, "utilization": Role.VIEWER}
    docs = docs.CLUSTER_STATUS

    @action(detail=False)
    def status(self, request: UserRequest, **path: Any) -> Response:
        cluster = self.get_cluster()
        activity = ActivitySerializer(status_of(cluster))
        return Response({**ClusterSerializer(cluster).data, **activity.data})

    @action(detail=False)
    def utilization(self, request: UserRequest, **path: Any) -> Response:
        cluster = self.get_cluster()
        span = wanted_span(request)
        points = utilization(cluster.pk, span)
        return Response(UtilizationSerializer({"step_s": span.step_s, "points": points}).data)


class QueueViewSet(ClusterChildViewSet):
    roles = {"list": Role.VIEWER}
    docs = docs.QUEUE
    serializer_class = WaitingSerializer
    queryset = Deployment.objects.none()

    def list(self, request: UserRequest, **path: Any) -> Response:
        waiting = self.filter_queryset(queries.queue_of(self.get_cluster()))
        page = self.paginate_queryset(waiting) or []
        context = {
            "reasons": reasons_for(page),
            "positions": positions_of(page, list(priority_classes())),
        }
        answer = WaitingSerializer(page, many=True, context=context)
        return self.get_paginated_response(answer.data)


class ClusterCyclesViewSet(ListModelMixin, ClusterChildViewSet):
    roles = {"list": Role.VIEWER}
    docs = docs.CLUSTER_CYCLES
    serializer_class = CycleSerializer
    queryset = SchedulingCycle.objects.none()

    def get_queryset(self) -> QuerySet[SchedulingCycle]:
        return queries.cycles_of(self.get_cluster())


class CycleViewSet(RetrieveModelMixin, RoleViewSet):
    roles = {"retrieve": Role.VIEWER}
    docs = docs.CYCLES
    serializer_class = CycleWithPlanSerializer
    queryset = SchedulingCycle.objects.none()
    lookup_url_kwarg = "cycle_id"

    def get_queryset(self) -> QuerySet[SchedulingCycle]:
        return queries.cycles_visible_to(self.request.user)


class WhatIfViewSet(DeploymentChildViewSet):
    """What would happen: to a deployment before its submit, and to one that waits."""

    roles = {"quote": Role.DEVELOPER, "explain": Role.VIEWER}
    key_scopes = {"quote": KeyScope.READ, "explain": KeyScope.READ}
    bodies = {"quote": SubmitSerializer}
    docs = docs.WHAT_IF

    @action(detail=False, methods=["post"], throttle_classes=[QuoteThrottle])
    def quote(self, request: UserRequest) -> Response:
        body = self.body()
        if body.pop("quote", None) is not None:
            raise Invalid({"quote": "Quotes a submit, not a quote."})
        draft = draft_deployment(
            request.user, body.pop("cluster_id"), body, priority=body.pop("priority")
        )
        given = draft.deployment
        rules.refuse_class(request.user, given.cluster_id, given.priority_class)
        answer = quotes.quote_in_turn(request.user, given, draft.digest, draft.dependencies)
        return Response(QuoteSerializer(answer).data)

    @action(detail=True, throttle_classes=[ExplainThrottle])
    def explain(self, request: UserRequest, **path: Any) -> Response:
        deployment = self.get_deployment()
        with slot(shares_of(deployment.cluster)):
            answer = explain(deployment)
        return Response(ExplanationSerializer(answer).data)
