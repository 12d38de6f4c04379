"""On which nodes the attempts of a deployment were, also after its end."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework import serializers

from deployments.api.representation import EXAMPLE, DeploymentSerializer
from deployments.models import AllocationInterval
from deployments.usage.models import Outcome

MOST = 100
"""The newest: what is tried again for long has many."""


class PastPlacementSerializer(serializers.Serializer):
    attempt = serializers.IntegerField()
    node_id = serializers.UUIDField(allow_null=True, help_text="It may be gone.")
    node = serializers.CharField(help_text="As it was called then; empty in a pool.")
    replicas = serializers.IntegerField()
    begin = serializers.DateTimeField(help_text="From its admission on.")
    end = serializers.DateTimeField(
        allow_null=True, help_text="When its capacity was free; null while it is allocated."
    )
    outcome = serializers.ChoiceField(["", *Outcome.values], help_text="Empty until then.")


class DetailedDeploymentSerializer(DeploymentSerializer):
    """A deployment on its own page."""

    placements = PastPlacementSerializer(
        many=True,
        help_text=f"Of all attempts, the newest first, {MOST} at most. They stay after the end.",
    )

    class Meta:
        ref_name = "DetailedDeployment"
        swagger_schema_fields: Mapping[str, Any] = {"example": {**EXAMPLE, "placements": []}}


def placements_of(deployment_id: UUID) -> list[dict[str, Any]]:
    """One query."""
    rows = AllocationInterval.objects.filter(deployment_id=deployment_id, replicas__gt=0)
    newest = rows.order_by("-begin_ms", "-attempt", "node", "pk")[:MOST]
    return list(PastPlacementSerializer(newest, many=True).data)
