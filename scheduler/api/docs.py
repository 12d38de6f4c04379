"""What Swagger says of the scheduler's calls."""

from mlops_platform.api.schema import Doc
from scheduler.api.serializers import CycleWithPlanSerializer, StatusSerializer
from scheduler.api.whatif_serializers import ExplanationSerializer, QuoteSerializer

CLUSTER_STATUS = {
    "status": Doc(
        "clusters",
        "A cluster at a glance: capacity, queues, the last cycle",
        answers={200: StatusSerializer},
    )
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
        answers={200: QuoteSerializer},
    ),
    "explain": Doc(
        "deployments",
        "Why it waits, which deployments have allocated what it needs, and what would start it now",
        answers={200: ExplanationSerializer},
    ),
}
