"""The bodies of the node calls. Sources are the model's columns."""

from datetime import datetime
from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from clusters.api.amounts import cpu_field, gpu_field, ram_field
from clusters.api.endpoint_serializers import EndpointSerializer, GivenEndpointSerializer
from clusters.api.free import ShownFree
from clusters.api.labels import Labels
from clusters.api.serializers import EXAMPLE_ID as EXAMPLE_CLUSTER
from clusters.models import DrainMode, Node, NodeState
from clusters.nodes.failed_starts import FailedStarts
from clusters.services.node_changes import DELETE
from mlops_platform.api.fields import ShownCores, Text, cores
from mlops_platform.api.names import check_name
from mlops_platform.api.resources import RESOURCES
from mlops_platform.api.serializers import StrictSerializer

LONGEST_NAME = 100
EXAMPLE_LABELS = {"zone": "b", "nvidia.com/gpu.product": "A100"}
EXAMPLE = {
    "id": "0199d1c4-9b07-7e65-8a11-5d2c40f6e9b3",
    "cluster_id": EXAMPLE_CLUSTER,
    "cluster": "gpu-west",
    "name": "node-1",
    "state": "READY",
    "reason": None,
    "drain": None,
    "failed_starts": None,
    "cpu": 64,
    "ram": 262144,
    "gpu": 8,
    "allocated_cpu": 4.5,
    "allocated_ram": 8192,
    "allocated_gpu": 2,
    "available_cpu": 59.5,
    "available_ram": 253952,
    "available_gpu": 6,
    "closed_cpu": 0,
    "closed_ram": 0,
    "closed_gpu": 0,
    "labels": EXAMPLE_LABELS,
    "endpoint": None,
    "pending": None,
}
_SIZE = "Needed in a simulated cluster; elsewhere the runtime tells it, where it is left out."


class NewNodeSerializer(StrictSerializer):
    name = Text(max_length=LONGEST_NAME, validators=[check_name])
    cpu = cpu_field(required=False, help_text=f"Cores; up to three decimals. {_SIZE}")
    ram = ram_field(required=False, help_text=f"MiB. {_SIZE}")
    gpu = gpu_field(required=False, help_text=_SIZE)
    labels = Labels(default=dict, help_text="What a deployment's node_selector can ask for.")
    endpoint = GivenEndpointSerializer(
        required=False, help_text="The Docker engine; in a docker cluster, and only there."
    )

    class Meta:
        ref_name = "NewNode"
        swagger_schema_fields = {
            "example": {
                "name": "node-1",
                "cpu": 64,
                "ram": 262144,
                "gpu": 8,
                "labels": EXAMPLE_LABELS,
            }
        }


class ChangeNodeSerializer(StrictSerializer):
    """What is not given stays as it is."""

    name = Text(max_length=LONGEST_NAME, required=False, validators=[check_name])
    cpu = cpu_field(required=False)
    ram = ram_field(required=False)
    gpu = gpu_field(required=False)
    labels = Labels(required=False, help_text="All of them; what runs there already is left alone.")
    endpoint = GivenEndpointSerializer(
        required=False, help_text="Replaced as a whole; in a docker cluster only."
    )

    class Meta:
        ref_name = "ChangeNode"
        swagger_schema_fields = {"example": {"gpu": 4, "labels": EXAMPLE_LABELS}}


class PendingSerializer(serializers.Serializer):
    """Either the deletion or the three sizes."""

    delete = serializers.BooleanField(required=False)
    cpu = serializers.FloatField(required=False)
    ram = serializers.IntegerField(required=False)
    gpu = serializers.IntegerField(required=False)

    class Meta:
        ref_name = "PendingOfNode"


class FailedStartSerializer(serializers.Serializer):
    deployment_id = serializers.CharField()
    name = serializers.CharField(help_text="The deployment's name and its owner's.")
    code = serializers.CharField()
    said = serializers.CharField()
    at = serializers.DateTimeField()

    class Meta:
        ref_name = "FailedStartOfNode"


class FailedStartsSerializer(serializers.Serializer):
    """Why and until when the platform itself has cordoned the node."""

    since = serializers.DateTimeField()
    next_try_at = serializers.DateTimeField(
        allow_null=True,
        help_text="null while it is tried, or waits for a deployment that tries it.",
    )
    probe = serializers.CharField(
        allow_null=True, help_text="The id of the deployment that tries it now."
    )
    failed = FailedStartSerializer(many=True, help_text="The starts that failed, oldest first.")

    class Meta:
        ref_name = "FailedStartsOfNode"


class DrainOfNodeSerializer(serializers.Serializer):
    """Of a node that is DRAINING or DRAINED."""

    mode = serializers.ChoiceField(DrainMode.values)
    reason = serializers.CharField(allow_null=True)
    by = serializers.CharField(allow_null=True, help_text="The user who has asked for it.")
    since = serializers.DateTimeField(allow_null=True)
    deadline = serializers.DateTimeField(
        allow_null=True, help_text="When what is left is evicted; null without one, and after it."
    )
    drained_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when it is empty; null while it is DRAINING."
    )

    class Meta:
        ref_name = "DrainOfNode"


class NodeSerializer(ShownFree):
    """A node as every member sees it."""

    id = serializers.UUIDField()
    cluster_id = serializers.UUIDField()
    cluster = serializers.CharField(source="cluster.name")
    name = serializers.CharField()
    state = serializers.ChoiceField(
        NodeState.values,
        source="effective_state",
        help_text=(
            "CORDONED: nothing new starts there. DRAINING: and what runs there leaves. DRAINED: "
            "and it is empty. NOT_READY: its runtime does not answer, or says so."
        ),
    )
    reason = serializers.SerializerMethodField(
        help_text="Why it is closed, or what is not as it should be; null where nothing is so."
    )
    drain = serializers.SerializerMethodField(
        help_text="How it is emptied, or has been, for what and by whom; else null."
    )
    failed_starts = serializers.SerializerMethodField(
        help_text="Of a node that the platform has cordoned, as starts failed there; else null."
    )
    cpu = ShownCores(source="cpu_milli")
    ram = serializers.IntegerField(source="ram_mib")
    gpu = serializers.IntegerField()
    allocated_cpu = ShownCores(source="allocated_cpu_milli")
    allocated_ram = serializers.IntegerField(source="allocated_ram_mib")
    allocated_gpu = serializers.IntegerField()
    labels = serializers.DictField(child=serializers.CharField())
    endpoint = EndpointSerializer(
        allow_null=True, help_text="How it is reached; null where it is simulated."
    )
    pending = serializers.SerializerMethodField(
        help_text="What becomes of it as soon as it is empty: it is deleted, or has these sizes."
    )

    class Meta:
        ref_name = "Node"
        swagger_schema_fields = {"example": EXAMPLE}

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_reason(self, node: Node) -> str | None:
        return node.reason or None

    @swagger_serializer_method(DrainOfNodeSerializer(allow_null=True))
    def get_drain(self, node: Node) -> dict[str, Any] | None:
        if node.state not in (NodeState.DRAINING, NodeState.DRAINED):
            return None
        asked = node.drain or {}
        drained_at = asked.get("drained_at")
        return {
            "mode": asked.get("mode", node.drain_mode),
            "reason": asked.get("reason") or None,
            "by": asked.get("by"),
            "since": node.drain_since,
            "deadline": node.drain_deadline,
            "drained_at": datetime.fromisoformat(drained_at) if drained_at else None,
        }

    @swagger_serializer_method(FailedStartsSerializer(allow_null=True))
    def get_failed_starts(self, node: Node) -> dict[str, Any] | None:
        found = FailedStarts.read(node.failed_starts)
        if found.since is None:
            return None
        shown = ("deployment_id", "name", "code", "said", "at")
        failed = [{name: each.get(name, "") for name in shown} for each in found.failed]
        named = {"since": found.since, "next_try_at": found.next_try_at, "probe": found.probe}
        return {**named, "failed": failed}

    @swagger_serializer_method(PendingSerializer(allow_null=True))
    def get_pending(self, node: Node) -> dict[str, Any] | None:
        if node.pending is None or node.pending == DELETE:
            return node.pending
        cpu_milli, ram_mib, gpu = (node.pending[name] for name in RESOURCES)
        return {"cpu": cores(cpu_milli), "ram": ram_mib, "gpu": gpu}


class NodeInDetailSerializer(NodeSerializer):
    """One node, with what a list of nodes would be too long with."""

    images = serializers.SerializerMethodField(
        help_text=(
            "The images that its runtime has listed, each with its registry and its tag or its "
            "digest (Kubernetes lists the 50 largest); null where none are known."
        )
    )

    class Meta:
        ref_name = "NodeInDetail"
        swagger_schema_fields = {
            "example": {**EXAMPLE, "images": ["docker.io/library/python:3.12-slim"]}
        }

    @swagger_serializer_method(
        serializers.ListField(child=serializers.CharField(), allow_null=True)
    )
    def get_images(self, node: Node) -> list[str] | None:
        return node.images.names if hasattr(node, "images") else None
