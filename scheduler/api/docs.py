"""What Swagger says of the scheduler's calls."""

from mlops_platform.api.schema import Doc, error, not_there
from scheduler.api.serializers import CycleWithPlanSerializer, StatusSerializer
from scheduler.api.utilization import PARAMETERS, UtilizationSerializer
from scheduler.api.whatif_serializers import ExplanationSerializer, QuoteSerializer

NO_CLUSTER = not_there("No such cluster, or not yours")
REFUSED_QUOTE = error(
    "`dependency_failed`: a dependency will never complete. `cluster_deleting`: the cluster is "
    "being deleted",
    "dependency_failed",
    "It could never start: 0199d1c5-1a7c-7d90-b2c4-5e8f6a0d3b17, on which it depends, is STOPPED.",
)

CLUSTER_STATUS = {
    "status": Doc(
        "clusters",
        "A cluster at a glance: capacity, queues, the last cycle",
        answers={200: StatusSerializer},
    ),
    "utilization": Doc(
        "clusters",
        "How full it was, and how many waited",
        "From one-minute samples, which are kept for 30 days unless the operators choose "
        "otherwise: a point for each step, with the means of its samples.",
        parameters=PARAMETERS,
        answers={200: UtilizationSerializer},
    ),
}
QUEUE = {
    "list": Doc("clusters", "The waiting deployments, in the scheduling order, and why they wait")
}
CLUSTER_CYCLES = {
    "list": Doc("ledger", "The cycles that changed something, newest first"),
}
CYCLES = {
    "retrieve": Doc(
        "ledger",
        "One cycle with its plan: starts, evictions, and why the others wait",
        answers={200: CycleWithPlanSerializer},
    ),
}
WHAT_IF = {
    "quote": Doc(
        "deployments",
        "What a submit would get, before it is made",
        "Takes the body of a submit and writes nothing. Submit with the `token` as `quote` to "
        "get exactly that, or 409 where the cluster has changed meanwhile.",
        answers={200: QuoteSerializer, 404: NO_CLUSTER, 409: REFUSED_QUOTE},
    ),
    "explain": Doc(
        "deployments",
        "Why it waits, which deployments have allocated what it needs, and what would start it now",
        answers={200: ExplanationSerializer},
    ),
}
