"""The warnings of a submit and of a quote: what is accepted all the same."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from deployments.api.representation import EXAMPLE, DeploymentSerializer
from deployments.models import Deployment
from deployments.reasons.warnings import warnings_of


class WarningSerializer(serializers.Serializer):
    code = serializers.CharField()
    field = serializers.CharField(help_text="Of the submit.")
    message = serializers.CharField()

    class Meta:
        ref_name = "Warning"


class SubmittedSerializer(DeploymentSerializer):
    """The answer to a submit."""

    warnings = WarningSerializer(many=True, help_text="What may not be as intended.")

    class Meta:
        ref_name = "SubmittedDeployment"
        swagger_schema_fields: Mapping[str, Any] = {"example": {**EXAMPLE, "warnings": []}}


def as_warnings(deployment: Deployment) -> list[dict[str, str]]:
    """Those of a gang; no other deployment has any."""
    return [each._asdict() for each in warnings_of(deployment)]
