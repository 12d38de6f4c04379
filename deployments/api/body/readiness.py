"""The readiness probe of a submit: how to tell that a container is ready."""

from typing import Any

from rest_framework import serializers

from deployments.api.body.fields import LARGEST_PROBE, Arguments
from mlops_platform.api.fields import Choice, Text, WholeNumber
from mlops_platform.api.serializers import StrictSerializer

# What each kind needs, and takes besides.
NEEDS = {"http": {"port"}, "tcp": {"port"}, "command": {"command"}}
TAKES = {"http": {"path"}, "tcp": set[str](), "command": set[str]()}
GENERAL = {"kind", "interval_s", "timeout_s", "within_s", "liveness"}


class LivenessSerializer(StrictSerializer):
    """What becomes of a service that was ready, and is not any more."""

    after_s = WholeNumber(
        min_value=1,
        max_value=24 * 3600,
        help_text="How long the probe may fail, after it has passed.",
    )
    then = Choice(
        ["restart", "fail"],
        default="restart",
        help_text="restart: as after any end of a service. fail: FAILED for good.",
    )

    class Meta:
        ref_name = "Liveness"
        swagger_schema_fields = {"example": {"after_s": 120, "then": "restart"}}


class ReadinessSerializer(StrictSerializer):
    """Asked inside the container: a replica that runs is RUNNING only once it passes."""

    kind = Choice(["http", "tcp", "command"])
    port = WholeNumber(min_value=1, max_value=65535, required=False, help_text="http and tcp.")
    path = Text(
        max_length=1024,
        required=False,
        help_text="http: ready where it answers 200 to 399. Default /.",
    )
    command = Arguments(required=False, help_text="command: ready where it exits with 0.")
    interval_s = WholeNumber(min_value=1, max_value=300, default=5)
    timeout_s = WholeNumber(min_value=1, max_value=60, default=2)
    within_s = WholeNumber(
        min_value=1,
        max_value=24 * 3600,
        default=600,
        help_text="The attempt fails if it is not ready so long after it began to run.",
    )

    liveness = LivenessSerializer(required=False, help_text="For services only.")

    class Meta:
        ref_name = "Readiness"
        swagger_schema_fields = {"example": {"kind": "http", "port": 8080, "path": "/health"}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needs = NEEDS[attrs["kind"]]
        allowed = needs | TAKES[attrs["kind"]] | GENERAL
        faults = {name: "Required for this kind." for name in needs if not attrs.get(name)}
        faults |= {name: "Not for this kind." for name in attrs if name not in allowed}
        if not str(attrs.get("path", "/")).startswith("/"):
            faults["path"] = "Must begin with /."
        if sum(len(each.encode()) for each in attrs.get("command", ())) > LARGEST_PROBE:
            faults["command"] = f"It may have {LARGEST_PROBE // 1024} KiB at most."
        if faults:
            raise serializers.ValidationError(faults)
        return attrs
