"""How full a cluster was: the query string of the call, and its answer."""

from datetime import datetime
from typing import Any

from drf_yasg import openapi
from rest_framework import serializers
from rest_framework.request import Request

from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import query_of
from mlops_platform.api.schema import parameter
from mlops_platform.api.times import moment
from mlops_platform.database.clock import database_now
from scheduler.samples.reading import (
    DAY_S,
    MINUTE_S,
    MOST_POINTS,
    USUAL_SPAN,
    Span,
    usual_step_s,
)

PARAMETERS = [
    parameter(
        "from",
        openapi.TYPE_STRING,
        "The first moment; RFC 3339. A day before `to` where it is not given.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter(
        "to",
        openapi.TYPE_STRING,
        "The moment at which it ends; RFC 3339. Now where it is not given.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter(
        "step",
        openapi.TYPE_INTEGER,
        f"Seconds between points, whole minutes; such that there are {MOST_POINTS} at most. The "
        "shortest for a picture of up to 300 points where it is not given.",
        minimum=MINUTE_S,
        maximum=DAY_S,
        multipleOf=MINUTE_S,
    ),
]
_TIME = "A time with its zone, such as 2026-03-01T09:30:00Z."
_STEP = f"Whole minutes in seconds, from {MINUTE_S} to {DAY_S}."


def wanted_span(request: Request) -> Span:
    """Which span the query string asks for; 400 that names each faulty parameter. One query where
    it does not say when the span ends."""
    values = query_of(request, [each.name for each in PARAMETERS])
    names = [name for name in ("from", "to") if name in values]
    moments = {name: moment(values[name]) for name in names}
    faults: dict[str, str] = {name: _TIME for name, found in moments.items() if found is None}
    step_s = _step_of(values["step"]) if "step" in values else None
    if "step" in values and step_s is None:
        faults["step"] = _STEP
    if faults:
        raise Invalid(faults)
    return _span(moments.get("from"), moments.get("to"), step_s)


def _step_of(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(DAY_S))):
        return None
    step_s = int(text)
    return step_s if MINUTE_S <= step_s <= DAY_S and step_s % MINUTE_S == 0 else None


def _span(since: datetime | None, until: datetime | None, step_s: int | None) -> Span:
    refused_by = "from" if until is None else "to"
    until = until or database_now()
    try:
        since = since or until - USUAL_SPAN
    except OverflowError:
        raise Invalid({"to": _TIME}) from None
    if until <= since:
        wanted = "Earlier than now." if refused_by == "from" else "Later than from."
        raise Invalid({refused_by: wanted})
    span = Span(since, until, step_s or usual_step_s(since, until))
    if span.points > MOST_POINTS:
        refused = f"{span.points} points: {MOST_POINTS} at most. Take a longer step or less time."
        raise Invalid({"step" if step_s else "from": refused})
    return span


class PointSerializer(serializers.Serializer):
    """Means of the samples of one step; CPU in cores, RAM in MiB."""

    at = serializers.DateTimeField(help_text="When the step begins.")
    total_cpu = serializers.FloatField()
    available_cpu = serializers.FloatField()
    allocated_cpu = serializers.FloatField()
    closed_cpu = serializers.FloatField(help_text="Free where nothing could start.")
    total_ram = serializers.FloatField()
    available_ram = serializers.FloatField()
    allocated_ram = serializers.FloatField()
    closed_ram = serializers.FloatField()
    total_gpu = serializers.FloatField()
    available_gpu = serializers.FloatField()
    allocated_gpu = serializers.FloatField()
    closed_gpu = serializers.FloatField()
    waiting = serializers.FloatField(help_text="Deployments that were QUEUED.")
    running = serializers.FloatField(help_text="Deployments with allocated capacity.")
    waiting_by_priority = serializers.DictField(
        child=serializers.FloatField(), help_text="By priority class, those of which any waited."
    )

    class Meta:
        ref_name = "UtilizationPoint"


POINT_EXAMPLE: dict[str, Any] = {
    "at": "2026-03-01T09:00:00Z",
    "total_cpu": 64,
    "available_cpu": 32,
    "allocated_cpu": 32,
    "closed_cpu": 0,
    "total_ram": 524288,
    "available_ram": 262144,
    "allocated_ram": 262144,
    "closed_ram": 0,
    "total_gpu": 8,
    "available_gpu": 1.6,
    "allocated_gpu": 6.4,
    "closed_gpu": 0,
    "waiting": 3.2,
    "running": 4,
    "waiting_by_priority": {"HIGH": 0.2, "LOW": 3},
}


class UtilizationSerializer(serializers.Serializer):
    step_s = serializers.IntegerField(help_text="Seconds between points.")
    points = PointSerializer(
        many=True, help_text="Oldest first. A step of which there is no sample is left out."
    )

    class Meta:
        ref_name = "Utilization"
        swagger_schema_fields = {"example": {"step_s": 300, "points": [POINT_EXAMPLE]}}
