"""The bodies of the calls for maintenance windows."""

from collections.abc import Mapping
from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from clusters.api.drain_serializers import EXAMPLE_EFFECT, DrainEffectSerializer
from clusters.api.labels import Labels
from clusters.api.serializers import EXAMPLE_ID as EXAMPLE_CLUSTER
from clusters.api.volumes.serializers import NodeNames
from clusters.models import MaintenanceWindow, WindowMode, WindowState
from clusters.windows import LONGEST_REASON
from mlops_platform.api.fields import Choice, Deadline, Flag, Text
from mlops_platform.api.serializers import StrictSerializer

EXAMPLE: Mapping[str, Any] = {
    "id": "0199d1c7-51aa-7c02-b6f4-2f7c9a1e4d30",
    "cluster_id": EXAMPLE_CLUSTER,
    "cluster": "gpu-west",
    "state": "PLANNED",
    "begins_at": "2026-03-01T18:00:00Z",
    "ends_at": "2026-03-01T20:00:00Z",
    "mode": "when_finished",
    "reason": "new disks",
    "node_names": ["node-1"],
    "node_selector": {},
    "nodes": ["node-1"],
    "by": "grace",
    "created_at": "2026-02-27T09:00:00Z",
}
_MODE = (
    "What becomes of what still runs there at the begin. cordon: it runs on. when_finished: the "
    "nodes are drained, and it runs to its end. at_checkpoint: each deployment is evicted when it "
    "next reports a checkpoint. now: it is evicted."
)
_REASON = "Why, for all members: nodes, and what waits or is evicted, show it."
_WHEN = "With its offset, or seconds from now."


class NewWindowSerializer(StrictSerializer):
    begins_at = Deadline(help_text=_WHEN)
    ends_at = Deadline(help_text=_WHEN)
    mode = Choice(WindowMode.values, default=WindowMode.WHEN_FINISHED, help_text=_MODE)
    reason = Text(max_length=LONGEST_REASON, help_text=_REASON)
    node_names = NodeNames(default=list, help_text="Its nodes; else all.")
    node_selector = Labels(
        default=dict, help_text="Only nodes that carry all of these labels, where any are given."
    )
    dry_run = Flag(default=False, help_text="Answer who is affected, and change nothing.")

    class Meta:
        ref_name = "NewWindow"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "begins_at": "2026-03-01T18:00:00Z",
                "ends_at": "2026-03-01T20:00:00Z",
                "reason": "new disks",
                "node_names": ["node-1"],
            }
        }


class ChangeWindowSerializer(StrictSerializer):
    """What is not given stays as it is."""

    begins_at = Deadline(required=False, help_text=f"Before it begins. {_WHEN}")
    ends_at = Deadline(required=False, help_text=_WHEN)
    mode = Choice(WindowMode.values, required=False, help_text=f"Before it begins. {_MODE}")
    reason = Text(max_length=LONGEST_REASON, required=False, help_text=_REASON)
    node_names = NodeNames(required=False, help_text="Before it begins.")
    node_selector = Labels(required=False, help_text="Before it begins.")

    class Meta:
        ref_name = "ChangeWindow"
        swagger_schema_fields: Mapping[str, Any] = {"example": {"ends_at": "2026-03-01T21:00:00Z"}}


class WindowSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    cluster_id = serializers.UUIDField()
    cluster = serializers.CharField(source="cluster.name")
    state = serializers.ChoiceField(
        WindowState.values, help_text="OPEN: its nodes are closed. ENDED: they are as before."
    )
    begins_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    mode = serializers.ChoiceField(WindowMode.values)
    reason = serializers.CharField()
    node_names = serializers.ListField(child=serializers.CharField(), help_text="As given.")
    node_selector = serializers.DictField(child=serializers.CharField(), help_text="As given.")
    nodes = serializers.SerializerMethodField(help_text="The names of the nodes in it.")
    by = serializers.CharField(source="created_by", help_text="The user who has planned it.")
    created_at = serializers.DateTimeField()

    class Meta:
        ref_name = "Window"
        swagger_schema_fields: Mapping[str, Any] = {"example": EXAMPLE}

    @swagger_serializer_method(serializers.ListField(child=serializers.CharField()))
    def get_nodes(self, window: MaintenanceWindow) -> list[str]:
        """No query of its own where they are prefetched."""
        return sorted(node.name for node in window.nodes.all())


class PlannedWindowSerializer(WindowSerializer):
    """The window; in a dry run as it would be, with what it would do."""

    dry_run = serializers.BooleanField(default=False)
    effect = DrainEffectSerializer(
        allow_null=True,
        help_text=(
            "Of a dry run, else null: what runs on its nodes now and may still run at its begin. "
            "`lost_s` counts to that moment."
        ),
    )

    class Meta:
        ref_name = "PlannedWindow"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {**EXAMPLE, "dry_run": True, "effect": EXAMPLE_EFFECT}
        }
