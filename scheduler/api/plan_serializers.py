"""A cycle's plan as the ledger shows it."""

from typing import Any

from rest_framework import serializers

from deployments.api.representation import ReasonSerializer
from deployments.reasons import codes
from scheduler.engine.plan import Plan, Start

RULE = (
    "lowest class first, as far as class_cost_ratio says, then the least work lost, "
    "then the fewest, then those that let a gang take the fewest nodes, then the youngest"
)
TOGETHER = f"with the victims of the other preemptors of its class together: {RULE}"


class NodeReplicasSerializer(serializers.Serializer):
    node_id = serializers.CharField(allow_null=True, help_text="Null in a cluster without nodes.")
    replicas = serializers.IntegerField()

    class Meta:
        ref_name = "NodeReplicas"


class StartSerializer(serializers.Serializer):
    """A start; with victims also whether no cheaper ones exist, and which came next."""

    deployment_id = serializers.UUIDField()
    placement = NodeReplicasSerializer(many=True)
    victims = serializers.ListField(child=serializers.UUIDField())
    by_image = serializers.BooleanField(
        required=False, help_text="true: of equal nodes it got one that has its image."
    )
    rule = serializers.CharField(required=False, help_text="How the victims were chosen.")
    proved_cheapest = serializers.BooleanField(
        required=False, help_text="Whether it is proved that no others would cost less."
    )
    next_best = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="The victims that came next."
    )
    next_best_cost = serializers.FloatField(required=False)

    class Meta:
        ref_name = "Start"


class EvictionSerializer(serializers.Serializer):
    deployment_id = serializers.UUIDField()
    by = serializers.UUIDField(
        allow_null=True, help_text="The deployment that starts instead; null for a drain."
    )
    lost_s = serializers.IntegerField(help_text="Seconds of work that are lost.")
    cost = serializers.FloatField(help_text="Shares of the cluster times seconds.")
    reason = ReasonSerializer()

    class Meta:
        ref_name = "Eviction"


class WaitSerializer(serializers.Serializer):
    scheduling_key = serializers.CharField(
        help_text="What deployments that ask for the same have alike."
    )
    deployment_id = serializers.UUIDField(
        allow_null=True, help_text="The only one that waits for this reason; null: all of the key."
    )
    reason = ReasonSerializer()

    class Meta:
        ref_name = "Wait"


class PlanSerializer(serializers.Serializer):
    """What a cycle decided."""

    starts = StartSerializer(many=True, help_text="In the order decided.")
    evictions = EvictionSerializer(many=True)
    waits = WaitSerializer(many=True)
    reserved_for = serializers.UUIDField(
        allow_null=True, help_text="The first deployment for which what comes free is reserved."
    )
    also_reserved_for = serializers.ListField(
        child=serializers.UUIDField(),
        help_text="The others: those for which it is reserved on nodes that the first cannot use.",
    )

    class Meta:
        ref_name = "Plan"


def _started(start: Start) -> dict[str, Any]:
    """A start; with victims also whether no cheaper ones exist, and which came next."""
    shown: dict[str, Any] = {
        "deployment_id": start.workload_id,
        "placement": [{"node_id": p.node_id, "replicas": p.replicas} for p in start.placement],
        "victims": list(start.victims),
    }
    if start.by_image:
        shown["by_image"] = True
    if start.victims:
        shown["rule"] = TOGETHER if start.jointly else RULE
        shown["proved_cheapest"] = start.proved
        shown["next_best"] = list(start.alternative)
        shown["next_best_cost"] = _cost(start.alternative_cost)
    return shown


def _cost(cost: int) -> float:
    """The engine's millionths of the cluster times milliseconds, as shares times seconds."""
    return round(cost / 1e9, 3)


def shown_plan(plan: Plan) -> dict[str, Any]:
    """The values of PlanSerializer."""
    return {
        "starts": [_started(start) for start in plan.starts],
        "evictions": [
            {
                "deployment_id": eviction.workload_id,
                "by": eviction.by,
                "lost_s": eviction.lost_ms // 1000,
                "cost": _cost(eviction.cost),
                "reason": codes.render(eviction.reason.code, eviction.reason.details),
            }
            for eviction in plan.evictions
        ],
        "waits": [
            {
                "scheduling_key": wait.scheduling_key,
                "deployment_id": wait.workload_id,
                "reason": codes.render(wait.reason.code, wait.reason.details),
            }
            for wait in plan.waits
        ],
        "reserved_for": next(iter(plan.reserved_for), None),
        "also_reserved_for": list(plan.reserved_for[1:]),
    }
