"""The calls for sweeps: parse, call one service or query, answer."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response

from accounts.api.requests import UserRequest
from deployments.api.headers import REPLAYED, idempotency_key
from deployments.api.sweeps import docs
from deployments.api.sweeps.bodies import ChangeSweepSerializer, SweepSerializer, wanted
from deployments.api.sweeps.filters import SweepFilterSet
from deployments.api.sweeps.representation import (
    MOST_NAMED,
    ListedSweepSerializer,
    ShownSweepSerializer,
    present_sweep,
    present_sweeps,
)
from deployments.models import Sweep
from deployments.queries.sweeps import sweep_for, sweeps_visible_to
from deployments.services.sweeps import steer, submit
from mlops_platform.api.scopes import KeyScope
from mlops_platform.api.serializers import EmptySerializer
from organizations.api.permissions import RoleViewSet
from organizations.models import Role


class SweepViewSet(RoleViewSet):
    finds_own_rows = True
    lookup_url_kwarg = "sweep_id"
    roles = {
        "list": None,
        "create": Role.DEVELOPER,
        "retrieve": Role.VIEWER,
        "partial_update": Role.DEVELOPER,
        "destroy": Role.DEVELOPER,
        "stop": Role.DEVELOPER,
        "retry_failed": Role.DEVELOPER,
    }
    key_scopes = dict.fromkeys(
        ("create", "partial_update", "destroy", "stop", "retry_failed"), KeyScope.SUBMIT
    )
    bodies = {
        "create": SweepSerializer,
        "partial_update": ChangeSweepSerializer,
        "stop": EmptySerializer,
        "retry_failed": EmptySerializer,
    }
    docs = docs.SWEEPS
    filterset_class = SweepFilterSet
    queryset = Sweep.objects.none()

    def get_serializer_class(self) -> Any:
        return ListedSweepSerializer if self.action == "list" else ShownSweepSerializer

    def get_queryset(self) -> QuerySet[Sweep]:
        return sweeps_visible_to(self.request.user)

    def get_sweep(self) -> Sweep:
        """The path's sweep, where the caller's role allows the action; else 404 or 403. One query,
        and one more for a role above VIEWER."""
        sweep = sweep_for(self.request.user, self.kwargs["sweep_id"])
        self.check_role(sweep.cluster.organization_id)
        return sweep

    def list(self, request: UserRequest) -> Response:
        rows = self.get_queryset().defer("parameters")
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response(present_sweeps(page))

    def create(self, request: UserRequest) -> Response:
        body = self.body()
        asked = wanted(body)
        if body["dry_run"]:
            return Response(self._foreseen(request, asked))
        sweep, replayed = submit.create_sweep(
            request.user, asked, idempotency_key=idempotency_key(request)
        )
        headers = {REPLAYED: "true"} if replayed else None
        return Response(present_sweep(sweep), status=201, headers=headers)

    def _foreseen(self, request: UserRequest, asked: submit.Wanted) -> dict[str, Any]:
        drafts, outcome = submit.foreseen(request.user, asked)
        first = [
            {
                "name": draft.deployment.name,
                "command": draft.deployment.command,
                "args": draft.deployment.args,
                "env_names": draft.deployment.env_names,
                "parameters": parameters,
            }
            for draft, parameters in zip(drafts[:MOST_NAMED], asked.parameters, strict=False)
        ]
        answer = {"dry_run": True, "total": len(drafts), "first": first}
        return answer | outcome._asdict()

    def retrieve(self, request: UserRequest, **path: Any) -> Response:
        return Response(present_sweep(self.get_sweep()))

    def partial_update(self, request: UserRequest, **path: Any) -> Response:
        sweep, body = self.get_sweep(), self.body()
        if body:
            steer.change_sweep(sweep, body)
        return Response(present_sweep(self.get_sweep()))

    def destroy(self, request: UserRequest, **path: Any) -> Response:
        steer.delete_sweep(self.get_sweep())
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def stop(self, request: UserRequest, **path: Any) -> Response:
        sweep = self.get_sweep()
        self.body()  # an empty one
        stopped = steer.stop_sweep(request.user, sweep)
        return Response({"stopped": stopped, "sweep": present_sweep(sweep)})

    @action(detail=True, methods=["post"], url_path="retry-failed")
    def retry_failed(self, request: UserRequest, **path: Any) -> Response:
        sweep = self.get_sweep()
        self.body()  # an empty one
        again = steer.retry_failed(request.user, sweep)
        return Response(
            {
                "retried": len(again),
                "submitted": [str(row.pk) for row in again],
                "submitted_names": [row.name for row in again],
                "sweep": present_sweep(sweep),
            }
        )
