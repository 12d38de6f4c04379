"""The warnings of what is submitted: it is accepted all the same."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rest_framework import serializers

from deployments.api.representation import EXAMPLE, DeploymentSerializer
from deployments.models import Deployment
from deployments.reasons.warnings import warnings_of_each


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


def shown_warnings(deployments: Sequence[Deployment]) -> list[list[dict[str, str]]]:
    """Those of each, before it is shown. Queries as of `warnings_of_each`."""
    return [[each._asdict() for each in found] for found in warnings_of_each(deployments)]


def with_warnings(
    answers: Iterable[Mapping[str, Any]], warnings: Sequence[list[dict[str, str]]]
) -> list[dict[str, Any]]:
    return [{**answer, "warnings": found} for answer, found in zip(answers, warnings, strict=True)]
