"""The calls for maintenance windows: parse, call one service or query, answer."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from clusters import queries
from clusters.api.nested import ClusterChildViewSet
from clusters.api.windows import docs
from clusters.api.windows.serializers import (
    ChangeWindowSerializer,
    NewWindowSerializer,
    WindowSerializer,
)
from clusters.models import MaintenanceWindow
from clusters.services import windows
from organizations.models import Role


class WindowViewSet(ListModelMixin, RetrieveModelMixin, ClusterChildViewSet):
    roles = {
        "list": Role.VIEWER,
        "create": Role.ADMIN,
        "retrieve": Role.VIEWER,
        "partial_update": Role.ADMIN,
        "destroy": Role.ADMIN,
    }
    bodies = {"create": NewWindowSerializer, "partial_update": ChangeWindowSerializer}
    docs = docs.WINDOWS
    serializer_class = WindowSerializer
    queryset = MaintenanceWindow.objects.none()
    lookup_url_kwarg = "window_id"

    def get_queryset(self) -> QuerySet[MaintenanceWindow]:
        return queries.windows_in(self.get_cluster())

    def create(self, request: UserRequest, **path: Any) -> Response:
        cluster, body = self.get_cluster(), self.body()
        dry_run = body.pop("dry_run")
        planned = windows.plan_window(cluster, body, by=request.user.username, dry_run=dry_run)
        shown = {**WindowSerializer(planned.window).data, "nodes": planned.nodes}
        return Response(
            {**shown, "dry_run": dry_run, "effect": planned.effect}, status=200 if dry_run else 201
        )

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        window = self.get_object()
        changed = windows.change_window(window, self.body())
        changed.cluster = window.cluster
        return Response(WindowSerializer(changed).data)

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        windows.delete_window(self.get_object())
        return Response(status=204)
