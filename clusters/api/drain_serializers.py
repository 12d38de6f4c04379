"""The body of a drain, and what it answers."""

from typing import Any

from rest_framework import serializers

from clusters.api.node_serializers import EXAMPLE, NodeSerializer
from clusters.models import DrainMode
from mlops_platform.api.fields import Choice, Deadline, Flag, Text
from mlops_platform.api.serializers import StrictSerializer

LONGEST_REASON = 200


class DrainSerializer(StrictSerializer):
    """All of it may be left out."""

    mode = Choice(
        DrainMode.values,
        default=DrainMode.NOW,
        help_text=(
            "now: what runs there is evicted at once. when_finished: it may end by itself. "
            "at_checkpoint: each deployment is evicted when it next reports a checkpoint. Nothing "
            "new starts there in any mode."
        ),
    )
    deadline = Deadline(
        required=False,
        allow_null=True,
        help_text=(
            "When what is left is evicted, in the modes that wait: seconds from now. Without one "
            "the drain waits for as long as it takes."
        ),
    )
    reason = Text(
        required=False,
        allow_blank=True,
        max_length=LONGEST_REASON,
        help_text="Why, for all members: the node and what it evicts show it.",
    )
    dry_run = Flag(default=False, help_text="Answer who is affected, and change nothing.")

    class Meta:
        ref_name = "Drain"
        swagger_schema_fields = {
            "example": {"mode": "when_finished", "deadline": 7200, "reason": "new disks"}
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["mode"] == DrainMode.NOW and attrs.get("deadline") is not None:
            raise serializers.ValidationError(
                {"deadline": "Only with a mode that waits: when_finished or at_checkpoint."}
            )
        return attrs


class AffectedSerializer(serializers.Serializer):
    """A deployment that runs on the node, and what the drain does to it."""

    id = serializers.UUIDField()
    name = serializers.CharField(allow_null=True)
    owner = serializers.CharField()
    priority = serializers.CharField()
    replicas = serializers.IntegerField(help_text="In all; it leaves whole.")
    gpu = serializers.IntegerField(help_text="Of all its replicas.")
    running_s = serializers.IntegerField(help_text="So long it has run; 0 while it is STARTING.")
    ends_by = serializers.DateTimeField(
        allow_null=True, help_text="When its time limit ends it; null without one."
    )
    lost_s = serializers.IntegerField(
        help_text="Seconds of its work that are lost at most: since its start or last checkpoint."
    )
    goes_to = serializers.ListField(
        child=serializers.CharField(),
        help_text=(
            "The nodes on which it would start again, if all of these left now; empty where it "
            "would wait."
        ),
    )

    class Meta:
        ref_name = "AffectedByDrain"


class AffectedTotalSerializer(serializers.Serializer):
    deployments = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="Of these, those that would wait.")
    lost_s = serializers.IntegerField()
    lost_gpu_s = serializers.IntegerField(help_text="Seconds of work times GPUs.")

    class Meta:
        ref_name = "TotalAffectedByDrain"


class DrainEffectSerializer(serializers.Serializer):
    total = AffectedTotalSerializer()
    deployments = AffectedSerializer(
        many=True, help_text="At most 1000, the longest-running first."
    )
    complete = serializers.BooleanField(
        help_text="Whether `goes_to` is the planner's whole answer: a very large one is cut short."
    )

    class Meta:
        ref_name = "DrainEffect"


EXAMPLE_EFFECT = {
    "total": {"deployments": 1, "waiting": 0, "lost_s": 840, "lost_gpu_s": 3360},
    "deployments": [
        {
            "id": "0199d1c4-9b07-7e65-8a11-5d2c40f6e9b7",
            "name": "train-7",
            "owner": "ada",
            "priority": "MEDIUM",
            "replicas": 1,
            "gpu": 4,
            "running_s": 5400,
            "ends_by": None,
            "lost_s": 840,
            "goes_to": ["node-1"],
        }
    ],
    "complete": True,
}


class DrainedNodeSerializer(NodeSerializer):
    """The node after the drain has begun; in a dry run as it is, with the drain's effect."""

    dry_run = serializers.BooleanField(default=False)
    effect = DrainEffectSerializer(allow_null=True, help_text="Of a dry run; else null.")

    class Meta:
        ref_name = "DrainedNode"
        swagger_schema_fields = {"example": {**EXAMPLE, "dry_run": True, "effect": EXAMPLE_EFFECT}}
