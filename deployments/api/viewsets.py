"""The deployment calls: parse, call one service or query, answer."""

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from accounts.api.requests import UserRequest, bearer_of
from clusters.api.nested import ClusterChildViewSet
from clusters.models import Cluster
from clusters.queries import clusters_visible_to
from deployments.api import docs
from deployments.api.event_serializers import EventSerializer
from deployments.api.feed import updates
from deployments.api.finding.filters import (
    AllFilterSet,
    ClusterDeploymentFilterSet,
    DeploymentFilterSet,
    InClusterFilterSet,
)
from deployments.api.finding.parts import fields_of
from deployments.api.finding.totals import counts_of
from deployments.api.headers import REPLAYED, idempotency_key
from deployments.api.log_answer import answer_log
from deployments.api.log_parameters import wanted_logs
from deployments.api.nested import DeploymentChildViewSet
from deployments.api.pagination import DeploymentPagination
from deployments.api.peers import present_peers
from deployments.api.placements import DetailedDeploymentSerializer, placements_of
from deployments.api.representation import (
    DeploymentSerializer,
    ListedDeploymentSerializer,
    present,
    present_new,
    present_one,
    present_page,
)
from deployments.api.serializers import (
    BulkSerializer,
    ChangeDeploymentSerializer,
    CheckpointSerializer,
    RerunSerializer,
    StopOfClusterSerializer,
    SubmitSerializer,
)
from deployments.api.steering.actions import ActionSerializer, act
from deployments.api.warnings import shown_warnings, with_warnings
from deployments.models import Deployment, DeploymentEvent
from deployments.queries.dependencies import dependencies_of
from deployments.queries.deployments import deployment_by_id, events_of, without_large
from deployments.queries.lists import deployments_of
from deployments.queries.names import named_in
from deployments.reasons.warnings import is_ordinary
from deployments.services import bulk, checkpoint, rerun, stop, submit
from deployments.services.drafting import update
from deployments.services.drafting.drafts import Order
from mlops_platform.api.answers.renderers import PlainTextRenderer
from mlops_platform.api.errors import Invalid
from mlops_platform.api.scopes import KeyScope
from mlops_platform.api.serializers import EmptySerializer
from organizations.models import Role


class DeploymentViewSet(DeploymentChildViewSet):
    roles = {
        "list": None,
        "counts": None,
        "create": Role.DEVELOPER,
        "bulk": Role.DEVELOPER,
        "retrieve": Role.VIEWER,
        "partial_update": Role.DEVELOPER,
        "destroy": Role.DEVELOPER,
        "stop": Role.DEVELOPER,
        "stop_of_cluster": Role.DEVELOPER,
        "rerun": Role.DEVELOPER,
        "actions": None,
        "checkpoint": Role.DEVELOPER,
        "logs": Role.VIEWER,
        "peers": Role.VIEWER,
    }
    key_scopes = dict.fromkeys(
        (
            "create",
            "bulk",
            "partial_update",
            "destroy",
            "stop",
            "stop_of_cluster",
            "rerun",
            "actions",
            "checkpoint",
        ),
        KeyScope.SUBMIT,
    )
    bodies = {
        "create": SubmitSerializer,
        "bulk": BulkSerializer,
        "partial_update": ChangeDeploymentSerializer,
        "stop": EmptySerializer,
        "stop_of_cluster": StopOfClusterSerializer,
        "rerun": RerunSerializer,
        "actions": ActionSerializer,
        "checkpoint": CheckpointSerializer,
    }
    docs = docs.DEPLOYMENTS
    serializer_class = DeploymentSerializer
    filterset_class = DeploymentFilterSet
    pagination_class = DeploymentPagination
    queryset = Deployment.objects.none()

    def list(self, request: UserRequest) -> Response:
        visible = without_large(deployments_of(clusters_visible_to(request.user)))
        narrowed = self.filter_queryset(visible)
        if updates.are_asked_for(request):
            return updates.of_user(request, narrowed)
        page = self.paginate_queryset(narrowed)
        return self.get_paginated_response(present_page(page or [], fields_of(request)))

    @action(detail=False, filterset_class=AllFilterSet, pagination_class=None)
    def counts(self, request: UserRequest) -> Response:
        visible = deployments_of(clusters_visible_to(request.user))
        return Response(counts_of(self.filter_queryset(visible)))

    def get_serializer_class(self) -> Any:
        if self.action == "retrieve":
            return DetailedDeploymentSerializer
        return ListedDeploymentSerializer if self.action == "list" else DeploymentSerializer

    def create(self, request: UserRequest) -> Response:
        body = self.body()
        quote = body.pop("quote", None)
        deployment, replayed, class_names, dependencies = submit.create_deployment(
            request.user,
            body.pop("cluster_id"),
            priority=body.pop("priority"),
            spec=body,
            idempotency_key=idempotency_key(request),
            quote=quote,
        )
        warnings = [] if is_ordinary(deployment) else shown_warnings([deployment])[0]
        if quote is not None and not replayed:
            answer = present_one(deployment_by_id(deployment.pk), request.user)
        elif replayed:
            answer = present_one(deployment, request.user)
        else:
            needed = {deployment.pk: dependencies}
            [answer] = present_new([deployment], class_names, needed, request.user)
        headers = {REPLAYED: "true"} if replayed else None
        return Response({**answer, "warnings": warnings}, status=201, headers=headers)

    @action(detail=False, methods=["post"])
    def bulk(self, request: UserRequest) -> Response:
        bodies = self.body()["deployments"]
        orders = [Order(body.pop("cluster_id"), body, body.pop("priority")) for body in bodies]
        submitted = bulk.create_deployments(
            request.user, orders, idempotency_key=idempotency_key(request)
        )
        rows = submitted.deployments
        warnings = shown_warnings(rows)
        if submitted.replayed:
            answer = with_warnings(present(rows, reader=request.user), warnings)
            return Response(answer, 201, headers={REPLAYED: "true"})
        answer = present_new(rows, submitted.class_names, submitted.dependencies, request.user)
        return Response(with_warnings(answer, warnings), status=201)

    def retrieve(self, request: UserRequest, **path: Any) -> Response:
        deployment = self.get_deployment()
        answer = present_one(deployment, request.user)
        return Response({**answer, "placements": placements_of(deployment.pk)})

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        deployment, body = self.get_deployment(), self.body()
        changed = update.change_deployment(
            request.user,
            deployment,
            priority=body.pop("priority", None),
            confirm=body.pop("confirm", False),
            changes=body,
        )
        return Response(present_one(changed, request.user))

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        stop.stop_deployment(request.user, self.get_deployment())
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def stop(self, request: UserRequest, **path: Any) -> Response:
        deployment = self.get_deployment()
        self.body()  # an empty one
        return Response(present_one(stop.stop_deployment(request.user, deployment), request.user))

    def stop_of_cluster(self, request: UserRequest, **path: Any) -> Response:
        deployment, body = self.get_deployment(), self.body()
        cluster = deployment.cluster
        if body["cluster_id"].lower() not in (str(cluster.pk), cluster.name.lower()):
            raise Invalid({"cluster_id": "The deployment is not of this cluster."})
        return Response(present_one(stop.stop_deployment(request.user, deployment), request.user))

    @action(detail=True, methods=["post"])
    def rerun(self, request: UserRequest, **path: Any) -> Response:
        deployment, body = self.get_deployment(), self.body()
        priority, needed = body.pop("priority", None), dependencies_of([deployment])
        submitted, replayed, class_names, dependencies = rerun.rerun(
            request.user,
            deployment,
            body,
            priority=priority,
            needed=needed.get(deployment.pk, ()),
            idempotency_key=idempotency_key(request),
        )
        warnings = shown_warnings([submitted])[0]
        if replayed:
            answer = present_one(submitted, request.user)
        else:
            needed_now = {submitted.pk: dependencies}
            [answer] = present_new([submitted], class_names, needed_now, request.user)
        headers = {REPLAYED: "true"} if replayed else None
        return Response({**answer, "warnings": warnings}, status=201, headers=headers)

    @action(detail=False, methods=["post"], url_path="actions")
    def actions(self, request: UserRequest) -> Response:
        answer, replayed = act(request, self.body())
        return Response(answer, headers={REPLAYED: "true"} if replayed else {})

    @action(detail=True, methods=["post"])
    def checkpoint(self, request: UserRequest, **path: Any) -> Response:
        deployment, at = self.get_deployment(), self.body().get("at")
        return Response(
            present_one(checkpoint.report_checkpoint(request.user, deployment, at), request.user)
        )

    @action(detail=True, renderer_classes=[JSONRenderer, PlainTextRenderer])
    def logs(self, request: UserRequest, **path: Any) -> HttpResponseBase:
        deployment, wanted = self.get_deployment(), wanted_logs(request)
        return answer_log(request, deployment, wanted, bearer_of(request))

    @action(detail=True)
    def peers(self, request: UserRequest, **path: Any) -> Response:
        return Response(present_peers(self.get_deployment(), request))


class ClusterDeploymentsViewSet(ClusterChildViewSet):
    roles = {"list": Role.VIEWER, "counts": Role.VIEWER}
    docs = docs.CLUSTER_DEPLOYMENTS
    serializer_class = ListedDeploymentSerializer
    filterset_class = ClusterDeploymentFilterSet
    pagination_class = DeploymentPagination
    queryset = Deployment.objects.none()

    def list(self, request: UserRequest, **path: Any) -> Response:
        cluster = self.get_cluster()
        inside = without_large(deployments_of(Cluster.objects.filter(pk=cluster.pk)))
        narrowed = self.filter_queryset(inside)
        if updates.are_asked_for(request):
            return updates.in_cluster(request, narrowed, cluster)
        page = self.paginate_queryset(narrowed)
        return self.get_paginated_response(present_page(page or [], fields_of(request)))

    @action(detail=False, filterset_class=InClusterFilterSet, pagination_class=None)
    def counts(self, request: UserRequest, **path: Any) -> Response:
        inside = deployments_of(Cluster.objects.filter(pk=self.get_cluster().pk))
        return Response(counts_of(self.filter_queryset(inside)))


class EventViewSet(DeploymentChildViewSet):
    roles = {"list": Role.VIEWER}
    docs = docs.EVENTS
    serializer_class = EventSerializer
    queryset = DeploymentEvent.objects.none()

    def get_queryset(self) -> QuerySet[DeploymentEvent]:
        return events_of(self.get_deployment())

    def list(self, request: UserRequest, **path: Any) -> Response:
        """Also one query at most for what the page's events name."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        shown = EventSerializer(page, many=True, context={"named": named_in(page)})
        return self.get_paginated_response(shown.data)
