"""The call for a deployment's output: parse, call one function, stream."""

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_yasg import openapi
from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from accounts.api.callers import caller
from deployments import queries
from deployments.logs import Wanted, output_of
from deployments.models import Deployment
from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import query_of
from mlops_platform.api.schema import error

MOST_LINES = 100_000


def _parameter(name: str, kind: str, description: str) -> openapi.Parameter:
    return openapi.Parameter(name, openapi.IN_QUERY, type=kind, description=description)


PARAMETERS = [
    _parameter("tail", openapi.TYPE_INTEGER, "So many lines from the end."),
    _parameter("since", openapi.TYPE_STRING, "RFC 3339; while its container is there."),
    _parameter("follow", openapi.TYPE_BOOLEAN, "Go on until it ends; waits until it starts."),
    _parameter("replica", openapi.TYPE_INTEGER, "From 0, which is the default."),
    _parameter("attempt", openapi.TYPE_INTEGER, "From 1; else the present one, or the last."),
]
TEXT = openapi.Response(
    "Plain text", openapi.Schema(type="string"), {"text/plain": "epoch 1\nepoch 2\n"}
)
AWAY = error(
    "Its node does not answer", "endpoint_unavailable", "node-1 does not answer: timed out"
)


class OutputViewSet(GenericViewSet):
    queryset = Deployment.objects.none()

    @swagger_auto_schema(
        operation_summary="What it wrote",
        operation_description=(
            "Plain text of both its streams, as it comes. After the end the last 256 KiB of each "
            "replica are kept. Nothing for what is simulated, or never ran."
        ),
        tags=["deployments"],
        manual_parameters=PARAMETERS,
        responses={200: TEXT, 503: AWAY},
    )
    def retrieve(self, request: Request, deployment_id: UUID) -> HttpResponseBase:
        deployment = queries.deployment_for(caller(request), deployment_id)
        wanted = _wanted(request)
        response = StreamingHttpResponse(
            output_of(deployment, wanted), content_type="text/plain; charset=utf-8"
        )
        response["Cache-Control"] = "no-store"
        response["X-Accel-Buffering"] = "no"  # a proxy in front must not wait for the end
        return response


def _wanted(request: Request) -> Wanted:
    values = query_of(request, [each.name for each in PARAMETERS])
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, least, most in (
        ("tail", 0, MOST_LINES),
        ("replica", 0, 999),
        ("attempt", 1, 2**31 - 1),
    ):
        if name in values:
            text = values[name]
            if text.isascii() and text.isdigit() and least <= int(text[:20]) <= most:
                found[name] = int(text)
            else:
                faults[name] = f"A whole number from {least} to {most}."
    if "since" in values:
        try:
            at = parse_datetime(values["since"])
        except ValueError:
            at = None
        if at is None or timezone.is_naive(at):
            faults["since"] = "A time with its zone, such as 2026-03-01T09:30:00Z."
        found["since"] = at
    if "follow" in values:
        if values["follow"].lower() not in ("true", "false"):
            faults["follow"] = "true or false."
        found["follow"] = values["follow"].lower() == "true"
    if faults:
        raise Invalid(faults)
    return Wanted(**found)
