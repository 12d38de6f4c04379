"""The query string of the call for a deployment's logs."""

from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_yasg import openapi
from rest_framework.request import Request

from deployments.logs import LogQuery
from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import query_of
from mlops_platform.api.schema import parameter

MOST_LINES = 100_000
# The whole numbers, each with the least and the most.
RANGES = {"tail": (0, MOST_LINES), "replica": (0, 999), "attempt": (1, 2**31 - 1)}


def _limits(name: str) -> dict[str, Any]:
    least, most = RANGES[name]
    return {"minimum": least, "maximum": most}


PARAMETERS = [
    parameter("tail", openapi.TYPE_INTEGER, "So many lines from the end.", **_limits("tail")),
    parameter(
        "since",
        openapi.TYPE_STRING,
        "RFC 3339; while its container is there.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter("follow", openapi.TYPE_BOOLEAN, "Go on until it ends; waits until it starts."),
    parameter(
        "replica", openapi.TYPE_INTEGER, "From 0, which is the default.", **_limits("replica")
    ),
    parameter(
        "attempt",
        openapi.TYPE_INTEGER,
        "From 1; else the present one, or the last.",
        **_limits("attempt"),
    ),
]


def wanted_logs(request: Request) -> LogQuery:
    """Which lines the query string asks for; 400 that names each faulty parameter."""
    values = query_of(request, [each.name for each in PARAMETERS])
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, (least, most) in RANGES.items():
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
    return LogQuery(**found)
