"""What the scheduler's calls answer."""

from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from clusters.api.serializers import ClusterSerializer
from deployments.api.representation import ReasonSerializer
from deployments.names import Named
from deployments.reasons import codes
from mlops_platform.api.fields import ShownCores
from scheduler import ledger
from scheduler.api.plan_serializers import RULE, PlanSerializer, shown_plan
from scheduler.models import SchedulingCycle, Trigger

EXAMPLE_ID = "0199d1c6-8c02-7a11-b5f3-7de1a0c94b21"
EXAMPLE_CLUSTER = "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"
EXAMPLE_DEPLOYMENT = "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34"
EXAMPLE_VICTIM = "0199d1c5-1a7c-7d90-b2c4-5e8f6a0d3b17"
CLUSTER_EXAMPLE = ClusterSerializer.Meta.swagger_schema_fields["example"]
CYCLE_EXAMPLE = {
    "id": EXAMPLE_ID,
    "cluster_id": EXAMPLE_CLUSTER,
    "cluster": CLUSTER_EXAMPLE["name"],
    "trigger": "SUBMITTED",
    "started_at": "2026-03-01T09:00:00.120000Z",
    "load_ms": 4.1,
    "plan_ms": 0.3,
    "apply_ms": 5.2,
    "evaluated": 1,
    "started": 1,
    "evicted": 1,
    "waiting": 0,
    "engine_version": "1",
}


class CycleSerializer(serializers.Serializer):
    """One line of the ledger."""

    id = serializers.UUIDField()
    cluster_id = serializers.UUIDField()
    cluster = serializers.CharField(source="cluster.name")
    trigger = serializers.ChoiceField(Trigger.values, help_text="What rang first.")
    started_at = serializers.DateTimeField()
    load_ms = serializers.FloatField()
    plan_ms = serializers.FloatField()
    apply_ms = serializers.FloatField()
    evaluated = serializers.IntegerField(source="evaluated_count")
    started = serializers.IntegerField(source="started_count")
    evicted = serializers.IntegerField(source="evicted_count")
    waiting = serializers.IntegerField(source="waiting_count", help_text="Of those evaluated.")
    engine_version = serializers.CharField()

    class Meta:
        ref_name = "Cycle"
        swagger_schema_fields = {"example": CYCLE_EXAMPLE}


class CycleWithPlanSerializer(CycleSerializer):
    """The same, and what was decided."""

    plan = serializers.SerializerMethodField(
        help_text="Starts in the order decided, evictions with what they cost, waits with reasons; "
        "null where another version of the platform wrote it."
    )

    class Meta:
        ref_name = "CycleWithPlan"
        swagger_schema_fields = {
            "example": {
                **CYCLE_EXAMPLE,
                "plan": {
                    "starts": [
                        {
                            "deployment_id": EXAMPLE_DEPLOYMENT,
                            "name": "train-resnet of ada",
                            "placement": [{"node_id": None, "node": None, "replicas": 1}],
                            "victims": [EXAMPLE_VICTIM],
                            "victim_names": ["nightly of grace"],
                            "rule": RULE,
                            "proved_cheapest": True,
                            "next_best": [EXAMPLE_ID],
                            "next_best_names": ["eval-7 of grace"],
                            "next_best_cost": 330.0,
                        }
                    ],
                    "evictions": [
                        {
                            "deployment_id": EXAMPLE_VICTIM,
                            "name": "nightly of grace",
                            "by": EXAMPLE_DEPLOYMENT,
                            "by_name": "train-resnet of ada",
                            "lost_s": 300,
                            "cost": 180.0,
                            "reason": codes.render(
                                "PREEMPTED",
                                {"by": EXAMPLE_DEPLOYMENT, "priority": "HIGH", "lost_s": 300},
                                {EXAMPLE_DEPLOYMENT: Named("train-resnet", "ada")},
                            ),
                        }
                    ],
                    "waits": [],
                    "reserved_for": None,
                    "reserved_for_name": None,
                    "also_reserved_for": [],
                    "also_reserved_for_names": [],
                },
            }
        }

    @swagger_serializer_method(PlanSerializer(allow_null=True))
    def get_plan(self, cycle: SchedulingCycle) -> dict[str, Any] | None:
        plan = ledger.plan_of(cycle)
        return shown_plan(plan) if plan is not None else None


class WaitingSerializer(serializers.Serializer):
    """A waiting deployment. Needs `reasons` and `positions` by id in its context."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    owner_id = serializers.UUIDField()
    owner = serializers.CharField(source="owner.username", help_text="The user's name.")
    priority = serializers.CharField(source="priority_class.name")
    required_cpu = ShownCores(source="cpu_milli")
    required_ram = serializers.IntegerField(source="ram_mib")
    required_gpu = serializers.IntegerField(source="gpu")
    replicas = serializers.IntegerField()
    preemption_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    position = serializers.SerializerMethodField(
        help_text=(
            "From 1; null while Redis is away. Under fair_share by class and submit time, as "
            "shares move with every start."
        )
    )
    reason = serializers.SerializerMethodField()

    class Meta:
        ref_name = "Waiting"
        swagger_schema_fields = {
            "example": {
                "id": EXAMPLE_DEPLOYMENT,
                "name": "train-resnet",
                "owner_id": "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11",
                "owner": "ada",
                "priority": "HIGH",
                "required_cpu": 4,
                "required_ram": 16384,
                "required_gpu": 4,
                "replicas": 1,
                "preemption_count": 0,
                "created_at": "2026-03-01T09:00:00Z",
                "position": 1,
                "reason": codes.render(
                    "INSUFFICIENT_CAPACITY",
                    {
                        "short": {"gpu": 2},
                        "requested": {"cpu_milli": 4000, "ram_mib": 16384, "gpu": 4},
                        "free": {"cpu_milli": 59500, "ram_mib": 253952, "gpu": 2},
                    },
                ),
            }
        }

    @swagger_serializer_method(serializers.IntegerField(allow_null=True))
    def get_position(self, deployment: Any) -> int | None:
        return self.context["positions"].get(deployment.pk)

    @swagger_serializer_method(ReasonSerializer(allow_null=True))
    def get_reason(self, deployment: Any) -> dict[str, Any] | None:
        return self.context["reasons"].get(deployment.pk)


class UtilisationSerializer(serializers.Serializer):
    cpu = serializers.FloatField()
    ram = serializers.FloatField()
    gpu = serializers.FloatField()

    class Meta:
        ref_name = "Utilisation"


class NodeCountsSerializer(serializers.Serializer):
    total = serializers.IntegerField(help_text="0: the cluster is one pool.")
    ready = serializers.IntegerField()
    cordoned = serializers.IntegerField()
    draining = serializers.IntegerField()
    drained = serializers.IntegerField()
    not_ready = serializers.IntegerField()

    class Meta:
        ref_name = "NodeCounts"


class CalibrationSerializer(serializers.Serializer):
    """How good the latest forecasts of starts were, of those that came to a start."""

    count = serializers.IntegerField(source="forecasts", help_text="So many count, up to 200.")
    p90_kept = serializers.FloatField(
        allow_null=True, help_text="The share that had started by p90, 0 to 1; 0.9 would be right."
    )
    median_error_s = serializers.FloatField(
        allow_null=True, help_text="Of p50, the median of the absolute errors."
    )

    class Meta:
        ref_name = "Calibration"


class ActivitySerializer(serializers.Serializer):
    """What goes on in a cluster (status.py)."""

    utilisation = UtilisationSerializer(help_text="Shares of the totals, 0 to 1.")
    queue_lengths = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many wait, by priority class."
    )
    running = serializers.IntegerField(help_text="Deployments with allocated capacity.")
    nodes = NodeCountsSerializer(help_text="How many, and how many in each state.")
    last_cycle = CycleSerializer(allow_null=True, help_text="The last that changed something.")
    evaluated_at = serializers.DateTimeField(allow_null=True, help_text="When a cycle last looked.")
    forecasts = CalibrationSerializer(help_text="How good the forecasts of starts were.")


class StatusSerializer(ActivitySerializer, ClusterSerializer):
    """Both in one answer; for the schema."""

    class Meta:
        ref_name = "ClusterStatus"
        swagger_schema_fields = {
            "example": {
                **CLUSTER_EXAMPLE,
                "utilisation": {"cpu": 0.0703, "ram": 0.0312, "gpu": 0.25},
                "queue_lengths": {"HIGH": 1, "LOW": 3},
                "running": 4,
                "nodes": {
                    "total": 4,
                    "ready": 3,
                    "cordoned": 0,
                    "draining": 0,
                    "drained": 1,
                    "not_ready": 0,
                },
                "last_cycle": CYCLE_EXAMPLE,
                "evaluated_at": "2026-03-01T09:00:00.120000Z",
                "forecasts": {"count": 200, "p90_kept": 0.91, "median_error_s": 312.5},
            }
        }
