"""The bodies of the cluster calls. Sources are the model's columns."""

from datetime import datetime
from typing import Any

from django.core.validators import RegexValidator
from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from clusters import queries
from clusters.api.amounts import cpu_field, gpu_field, ram_field
from clusters.api.endpoint_serializers import ApiServerSerializer
from clusters.api.free import ShownFree
from clusters.endpoints.attachment import DEFAULT_NAMESPACE, NAMESPACE
from clusters.endpoints.kubeconfig import LONGEST as LONGEST_KUBECONFIG
from clusters.models import (
    Cluster,
    Ordering,
    Placement,
    Preemption,
    Prepull,
    Queueing,
    Runtime,
    State,
)
from mlops_platform.api.fields import Choice, IdOrName, ShownCores, Text, WholeNumber
from mlops_platform.api.names import check_name
from mlops_platform.api.serializers import StrictSerializer

YEAR_S = 365 * 24 * 3600
MOST_PREEMPTIONS = 1_000_000
MOST_CLASS_COST_RATIO = 1000
LOST_AFTER_S = (10, 24 * 3600)
EXAMPLE_ID = "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"
EXAMPLE_ORGANIZATION = "0199d1c3-02b4-7d10-8c55-0c6f1b7a9d42"
EXAMPLE_POLICY = {
    "queueing": "best_effort",
    "ordering": "gpu_weighted",
    "preemption": "lower_priority",
    "placement": "binpack",
    "preempt_exempt_s": 0,
    "reserve_after_s": 3600,
    "max_preemptions": 5,
    "preemption_within_quota": "never",
    "class_cost_ratio": 0,
    "preemption_delay_s": 0,
    "low_share_percent": 0,
    "assumed_runtime_s": 14400,
    "fail_impossible_after_s": None,
    "prepull": "off",
}


class PolicySerializer(StrictSerializer):
    """The queue's order, and what may be preempted; a field left out stays as it is."""

    queueing = Choice(
        Queueing.choices,
        required=False,
        help_text=(
            "Whether those behind a blocked one may pass it: best_effort always, strict never, "
            "easy_backfill where that does not delay it."
        ),
    )
    ordering = Choice(
        Ordering.choices,
        required=False,
        help_text=(
            "Which deployment of a class goes first: gpu_weighted, that with the larger request; "
            "fifo, the oldest; fair_share, that of the owner with the smallest dominant share. "
            "That moves with every start, so queues and positions are then shown by submit time."
        ),
    )
    preemption = Choice(Preemption.choices, required=False)
    placement = Choice(
        Placement.choices,
        required=False,
        help_text="binpack: the node with the least left over; spread: the most. For nodes only.",
    )
    preempt_exempt_s = WholeNumber(
        required=False,
        min_value=0,
        max_value=YEAR_S,
        help_text="A victim must have run, or its preemptor waited, at least this long.",
    )
    reserve_after_s = WholeNumber(
        required=False,
        min_value=0,
        max_value=YEAR_S,
        help_text="Seconds of waiting after which what comes free is reserved for a deployment.",
    )
    max_preemptions = WholeNumber(
        required=False,
        min_value=0,
        max_value=MOST_PREEMPTIONS,
        help_text="After so many evictions a workload is exempt.",
    )
    preemption_within_quota = Choice(
        Preemption.choices,
        required=False,
        help_text=(
            "Where an owner's quota is full: whether a deployment may preempt that owner's own of "
            "lower classes for room in it."
        ),
    )
    class_cost_ratio = WholeNumber(
        required=False,
        min_value=0,
        max_value=MOST_CLASS_COST_RATIO,
        help_text=(
            "How many times as much the cost of a victim counts as the same cost one class below; "
            "0: any number of victims of a class are evicted before one of the next."
        ),
    )
    preemption_delay_s = WholeNumber(
        required=False,
        min_value=0,
        max_value=YEAR_S,
        help_text=(
            "Seconds that a deployment waits at most, instead of preempting, where time limits "
            "promise it its place within them."
        ),
    )
    low_share_percent = WholeNumber(
        required=False,
        min_value=0,
        max_value=100,
        help_text=(
            "Percent of the cluster's CPU, RAM and GPUs: preemption never takes the classes that "
            "preempt nothing below that share of what the preemptor lacks."
        ),
    )

    assumed_runtime_s = WholeNumber(
        required=False,
        min_value=0,
        max_value=YEAR_S,
        help_text=(
            "Seconds that a deployment without a time limit counts as running where a maintenance "
            "window is planned: it does not start there so long before the begin."
        ),
    )
    prepull = Choice(
        Prepull.choices,
        required=False,
        help_text=(
            "likely: the images of those that are first in the queue are pulled ahead, on the "
            "nodes where they will likely start; in a docker cluster only."
        ),
    )
    fail_impossible_after_s = WholeNumber(
        required=False,
        allow_null=True,
        min_value=60,
        max_value=YEAR_S,
        help_text=(
            "Seconds after which a deployment fails that not even the empty cluster could have run "
            "in all that time; null: it waits for the cluster to change."
        ),
    )

    class Meta:
        ref_name = "Policy"


class _Columns(StrictSerializer):
    """Gives the policy's columns beside the others, and has what new and old clusters take."""

    node_lost_after_s = WholeNumber(
        required=False,
        min_value=LOST_AFTER_S[0],
        max_value=LOST_AFTER_S[1],
        help_text=(
            "So long after a node has last answered, what ran there goes back to the queue; 300 "
            "unless said otherwise."
        ),
    )
    kubeconfig = Text(
        required=False,
        write_only=True,
        max_length=LONGEST_KUBECONFIG,
        help_text=(
            "kubernetes: YAML whose current context has everything inline (`kubectl config view "
            "--raw --flatten --minify`), never shown again. No exec plugins, no files."
        ),
    )
    namespace = Text(
        required=False,
        max_length=63,
        validators=[RegexValidator(rf"^(?:{NAMESPACE.pattern})\Z", "A DNS label is required.")],
        help_text=(
            "kubernetes: where Pods run; the kubeconfig's own, or else "
            f"`{DEFAULT_NAMESPACE}`, where it is left out."
        ),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        policy = attrs.pop("policy", {})
        return {**attrs, **policy}


TOTALS = ("total_cpu", "total_ram", "total_gpu")
_TOTAL = (
    "All three make a simulated cluster one pool. Without them its nodes make the totals, 0 before "
    "there are any; so do those of any other cluster, where this is not kept."
)


class NewClusterSerializer(_Columns):
    name = Text(max_length=100, validators=[check_name])
    organization_id = IdOrName()
    total_cpu = cpu_field(
        "total_cpu_milli",
        required=False,
        help_text=f"Cores; up to three decimals. {_TOTAL}",
    )
    total_ram = ram_field("total_ram_mib", required=False, help_text=f"MiB. {_TOTAL}")
    total_gpu = gpu_field(required=False, help_text=_TOTAL)
    policy = PolicySerializer(required=False)
    runtime = Choice(
        Runtime.choices,
        required=False,
        help_text="What makes deployments run; it stays. simulated: they end by the clock.",
    )

    class Meta:
        swagger_schema_fields = {
            "example": {
                "name": "gpu-west",
                "organization_id": EXAMPLE_ORGANIZATION,
                "total_cpu": 64,
                "total_ram": 262144,
                "total_gpu": 8,
                "policy": {"queueing": "best_effort", "preempt_exempt_s": 60},
            }
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What each runtime needs, and has no use for."""
        attrs = super().validate(attrs)
        runtime = attrs.get("runtime", Runtime.SIMULATED)
        totals = {str(self.fields[name].source): name for name in TOTALS}
        needed: dict[str, str] = {}
        if runtime == Runtime.SIMULATED and not totals.keys().isdisjoint(attrs):
            needed = totals
        else:
            attrs |= dict.fromkeys(totals, 0)
        faults: dict[str, str] = {}
        if runtime == Runtime.KUBERNETES:
            needed = {"kubeconfig": "kubeconfig"}
        else:
            said = "Only with the runtime kubernetes."
            faults = {name: said for name in ("kubeconfig", "namespace") if name in attrs}
        required = "This field is required."
        faults |= {name: required for column, name in needed.items() if column not in attrs}
        if faults:
            raise serializers.ValidationError(faults)
        return attrs


class ChangeClusterSerializer(_Columns):
    """What is not given stays as it is."""

    name = Text(max_length=100, required=False, validators=[check_name])
    total_cpu = cpu_field("total_cpu_milli", required=False)
    total_ram = ram_field("total_ram_mib", required=False)
    total_gpu = gpu_field(required=False)
    policy = PolicySerializer(required=False)
    state = Choice(
        State.values,
        upper=True,
        required=False,
        help_text=(
            "PAUSED: nothing starts. DRAINING: and what runs goes back to the queue. DELETING, "
            "which cannot be set: it goes once what runs has been stopped."
        ),
    )
    state_reason = Text(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="Why it gets the `state`; for all members.",
    )

    class Meta:
        swagger_schema_fields = {
            "example": {"total_gpu": 16, "state": "ACTIVE", "policy": {"ordering": "fifo"}}
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "state_reason" in attrs and "state" not in attrs:
            raise serializers.ValidationError({"state_reason": "Only with a state."})
        return super().validate(attrs)


class StateChangeSerializer(serializers.Serializer):
    """Who has set a cluster's state, when, and why."""

    at = serializers.DateTimeField()
    by = serializers.CharField(allow_null=True, help_text="A user's name.")
    reason = serializers.CharField(allow_null=True)

    class Meta:
        ref_name = "StateChange"


class ClusterSerializer(ShownFree):
    """A cluster as every member sees it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    organization_id = serializers.UUIDField()
    organization = serializers.CharField(source="organization.name")
    state = serializers.ChoiceField(State.values)
    state_change = serializers.SerializerMethodField(
        help_text="Who has set its state last, when, and why; null where it is as created."
    )
    runtime = serializers.ChoiceField(Runtime.values)
    total_cpu = ShownCores(source="total_cpu_milli")
    total_ram = serializers.IntegerField(source="total_ram_mib")
    total_gpu = serializers.IntegerField()
    allocated_cpu = ShownCores(source="allocated_cpu_milli")
    allocated_ram = serializers.IntegerField(source="allocated_ram_mib")
    allocated_gpu = serializers.IntegerField()
    policy = PolicySerializer(source="*")
    node_lost_after_s = serializers.IntegerField()
    endpoint = serializers.SerializerMethodField(
        help_text="The API server of a kubernetes cluster; null for any other."
    )
    created_at = serializers.DateTimeField()

    class Meta:
        swagger_schema_fields = {
            "example": {
                "id": EXAMPLE_ID,
                "name": "gpu-west",
                "organization_id": EXAMPLE_ORGANIZATION,
                "organization": "Analytical Engines",
                "state": "ACTIVE",
                "state_change": None,
                "runtime": "simulated",
                "total_cpu": 64,
                "total_ram": 262144,
                "total_gpu": 8,
                "allocated_cpu": 4.5,
                "allocated_ram": 8192,
                "allocated_gpu": 2,
                "available_cpu": 59.5,
                "available_ram": 253952,
                "available_gpu": 6,
                "closed_cpu": 0,
                "closed_ram": 0,
                "closed_gpu": 0,
                "policy": EXAMPLE_POLICY,
                "node_lost_after_s": 300,
                "endpoint": None,
                "created_at": "2026-03-01T09:00:00Z",
            }
        }

    @swagger_serializer_method(StateChangeSerializer(allow_null=True))
    def get_state_change(self, cluster: Cluster) -> dict[str, Any] | None:
        found = cluster.state_change
        if not found:
            return None
        at = datetime.fromisoformat(found["at"])
        return {"at": at, "by": found["by"], "reason": found["reason"] or None}

    @swagger_serializer_method(ApiServerSerializer(allow_null=True))
    def get_endpoint(self, cluster: Cluster) -> dict[str, Any] | None:
        server = queries.api_server_of(cluster)
        return None if server is None else ApiServerSerializer(server).data
