"""A cycle's plan as the ledger shows it."""

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework import serializers

from clusters.queries import node_names
from deployments.api.representation import ReasonSerializer
from deployments.names import Names, all_references, in_words
from deployments.queries.names import names_of
from deployments.reasons import codes
from scheduler.engine.plan import Plan, Start

NodeNames = Mapping[str | None, str]

RULE = (
    "lowest class first, as far as class_cost_ratio says, then the least work lost, "
    "then the fewest, then those that let a gang take the fewest nodes, then the youngest"
)
CALLED = "Its name and its owner's, such as `eval-7 of ada`."
TOGETHER = f"with the victims of the other preemptors of its class together: {RULE}"


class NodeReplicasSerializer(serializers.Serializer):
    node_id = serializers.CharField(allow_null=True, help_text="Null in a cluster without nodes.")
    node = serializers.CharField(allow_null=True, help_text="Its name; null where it is gone.")
    replicas = serializers.IntegerField()

    class Meta:
        ref_name = "NodeReplicas"


class StartSerializer(serializers.Serializer):
    """A start; with victims also whether no cheaper ones exist, and which came next."""

    deployment_id = serializers.UUIDField()
    name = serializers.CharField(help_text=CALLED)
    placement = NodeReplicasSerializer(many=True)
    victims = serializers.ListField(child=serializers.UUIDField())
    victim_names = serializers.ListField(
        child=serializers.CharField(), help_text="What these are called, in the same order."
    )
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
    next_best_names = serializers.ListField(child=serializers.CharField(), required=False)
    next_best_cost = serializers.FloatField(required=False)

    class Meta:
        ref_name = "Start"


class EvictionSerializer(serializers.Serializer):
    deployment_id = serializers.UUIDField()
    name = serializers.CharField(help_text=CALLED)
    by = serializers.UUIDField(
        allow_null=True, help_text="The deployment that starts instead; null for a drain."
    )
    by_name = serializers.CharField(allow_null=True)
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
    name = serializers.CharField(allow_null=True)
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
    reserved_for_name = serializers.CharField(allow_null=True)
    also_reserved_for = serializers.ListField(
        child=serializers.UUIDField(),
        help_text="The others: those for which it is reserved on nodes that the first cannot use.",
    )
    also_reserved_for_names = serializers.ListField(child=serializers.CharField())

    class Meta:
        ref_name = "Plan"


def _started(start: Start, names: Names, nodes: NodeNames) -> dict[str, Any]:
    """A start; with victims also whether no cheaper ones exist, and which came next."""
    shown: dict[str, Any] = {
        "deployment_id": start.workload_id,
        "name": in_words(start.workload_id, names),
        "placement": [
            {"node_id": p.node_id, "node": nodes.get(p.node_id), "replicas": p.replicas}
            for p in start.placement
        ],
        "victims": list(start.victims),
        "victim_names": _all_in_words(start.victims, names),
    }
    if start.by_image:
        shown["by_image"] = True
    if start.victims:
        shown["rule"] = TOGETHER if start.jointly else RULE
        shown["proved_cheapest"] = start.proved
        shown["next_best"] = list(start.alternative)
        shown["next_best_names"] = _all_in_words(start.alternative, names)
        shown["next_best_cost"] = _cost(start.alternative_cost)
    return shown


def _all_in_words(ids: Iterable[str], names: Names) -> list[str]:
    return [in_words(each, names) for each in ids]


def _cost(cost: int) -> float:
    """The engine's millionths of the cluster times milliseconds, as shares times seconds."""
    return round(cost / 1e9, 3)


def shown_plan(plan: Plan) -> dict[str, Any]:
    """The values of PlanSerializer. Two queries, for the names of deployments and nodes."""
    names = names_of(deployments_of(plan))
    nodes = node_names({p.node_id for each in plan.starts for p in each.placement if p.node_id})
    also = plan.reserved_for[1:]
    return {
        "starts": [_started(start, names, nodes) for start in plan.starts],
        "evictions": [
            {
                "deployment_id": eviction.workload_id,
                "name": in_words(eviction.workload_id, names),
                "by": eviction.by,
                "by_name": in_words(eviction.by, names) if eviction.by else None,
                "lost_s": eviction.lost_ms // 1000,
                "cost": _cost(eviction.cost),
                "reason": codes.render(eviction.reason.code, eviction.reason.details, names),
            }
            for eviction in plan.evictions
        ],
        "waits": [
            {
                "scheduling_key": wait.scheduling_key,
                "deployment_id": wait.workload_id,
                "name": in_words(wait.workload_id, names) if wait.workload_id else None,
                "reason": codes.render(wait.reason.code, wait.reason.details, names),
            }
            for wait in plan.waits
        ],
        "reserved_for": next(iter(plan.reserved_for), None),
        "reserved_for_name": next(iter(_all_in_words(plan.reserved_for, names)), None),
        "also_reserved_for": list(also),
        "also_reserved_for_names": _all_in_words(also, names),
    }


def deployments_of(plan: Plan) -> set[str]:
    """The ids of all deployments that a plan names."""
    ids = set(plan.reserved_for)
    for start in plan.starts:
        ids |= {start.workload_id, *start.victims, *start.alternative}
    for eviction in plan.evictions:
        ids |= {eviction.workload_id} | ({eviction.by} if eviction.by else set())
    ids |= {wait.workload_id for wait in plan.waits if wait.workload_id}
    waits = (each.reason.details for each in plan.waits)
    return ids | all_references(waits)
