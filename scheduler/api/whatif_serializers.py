"""What quote and explain answer."""

from typing import Any

from rest_framework import serializers

from clusters.api.quota_serializers import AllocationSerializer
from deployments.api.eta import ETA_EXAMPLE, EtaSerializer
from deployments.api.representation import ReasonSerializer
from deployments.api.warnings import WarningSerializer
from deployments.reasons.preemption import sentence_of
from scheduler.answers.quotes import STARTS_BY_PREEMPTING, STARTS_NOW, UNKNOWN, WAITS
from scheduler.api.ahead_serializers import AHEAD_EXAMPLE, AheadSerializer
from scheduler.api.serializers import (
    EXAMPLE_DEPLOYMENT,
    EXAMPLE_ID,
    EXAMPLE_VICTIM,
    WaitingSerializer,
)
from scheduler.engine.whatif import Cause

COMPLETE = (
    "False where more waits or runs than one answer considers, or finding it took too long: what "
    "is null or missing may be possible nevertheless."
)


class EvictedSerializer(serializers.Serializer):
    deployment_id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(help_text="The user's name.")
    lost_s = serializers.IntegerField(help_text="Seconds of work that it would lose.")

    class Meta:
        ref_name = "Evicted"


class SparedDeploymentSerializer(serializers.Serializer):
    """One of the running deployments that are not preempted."""

    deployment_id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(help_text="The user's name.")
    priority = serializers.CharField()
    until = serializers.DateTimeField(
        allow_null=True, help_text="The end of its exempt time; null: time does not change it."
    )

    class Meta:
        ref_name = "SparedDeployment"


class SparedSerializer(serializers.Serializer):
    """The running deployments that could make room, and are not preempted for one cause."""

    cause = serializers.ChoiceField([cause.value for cause in Cause])
    message = serializers.CharField(help_text="A sentence for people.")
    count = serializers.IntegerField()
    until = serializers.DateTimeField(
        allow_null=True, help_text="When the first exempt time ends; null: time changes nothing."
    )
    deployments = SparedDeploymentSerializer(many=True, help_text="Up to three of them.")

    class Meta:
        ref_name = "Spared"


class PreemptionSerializer(serializers.Serializer):
    """Why nothing is preempted for it now, and when that may change."""

    starts_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When preemption starts it, if nothing else changes, as exempt times end by "
        "then; null: never, or time limits do so before.",
    )
    message = serializers.CharField(
        allow_null=True, help_text="That in a sentence, also where time alone does not start it."
    )
    spared = SparedSerializer(many=True)

    class Meta:
        ref_name = "Preemption"


PREEMPTION_EXAMPLE = {
    "starts_at": "2026-03-01T09:10:00Z",
    "message": "If nothing else changes, preemption starts it at 2026-03-01 09:10:00 UTC.",
    "spared": [
        {
            "cause": "EXEMPT",
            "message": sentence_of(
                {"cause": "EXEMPT", "count": 1, "until": "2026-03-01T09:10:00+00:00"}
            ),
            "count": 1,
            "until": "2026-03-01T09:10:00Z",
            "deployments": [
                {
                    "deployment_id": EXAMPLE_VICTIM,
                    "name": "nightly",
                    "owner": "grace",
                    "priority": "LOW",
                    "until": "2026-03-01T09:10:00Z",
                }
            ],
        }
    ],
}
EARLIEST_START = (
    "If it would wait: when time limits, or preemption after exempt times, start it, if nothing "
    "else changes."
)

QUOTE_EXAMPLE = {
    "outcome": "STARTS_BY_PREEMPTING",
    "preempts": [
        {"deployment_id": EXAMPLE_VICTIM, "name": "nightly", "owner": "grace", "lost_s": 300}
    ],
    "reason": None,
    "queue_position": None,
    "ahead": None,
    "eta": None,
    "earliest_start": None,
    "preemption": None,
    "complete": True,
    "warnings": [],
    "valid_s": 300,
    "token": ".eJyrVkpUslIqLU4tUtJRSslMVbJSMjQyNjE1M7ewNDKuBQCXOgmD:1t9XyZ:signature",
}


class QuoteSerializer(serializers.Serializer):
    """The outcome if it were submitted now."""

    outcome = serializers.ChoiceField(
        [STARTS_NOW, STARTS_BY_PREEMPTING, WAITS, UNKNOWN],
        help_text="UNKNOWN: more waits or runs than one answer considers.",
    )
    preempts = EvictedSerializer(many=True)
    reason = ReasonSerializer(allow_null=True, help_text="Why it would wait.")
    queue_position = serializers.IntegerField(allow_null=True, help_text="If it would wait.")
    ahead = AheadSerializer(
        allow_null=True, help_text="If it would wait; null too where more wait than are counted."
    )
    eta = EtaSerializer(allow_null=True, help_text="If it would wait: when it starts, by forecast.")
    earliest_start = serializers.DateTimeField(allow_null=True, help_text=EARLIEST_START)
    preemption = PreemptionSerializer(
        allow_null=True, help_text="If it would wait: why nothing is preempted for it."
    )
    complete = serializers.BooleanField(help_text=COMPLETE)
    warnings = WarningSerializer(many=True, help_text="What may not be as intended.")
    valid_s = serializers.IntegerField(help_text="So long, and while nothing changes.")
    token = serializers.CharField(help_text="Submit with it as `quote`.")

    class Meta:
        ref_name = "Quote"
        swagger_schema_fields = {"example": QUOTE_EXAMPLE}


class AllocatedToSerializer(serializers.Serializer):
    deployment_id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(help_text="The user's name.")
    priority = serializers.CharField()
    allocated = AllocationSerializer(help_text="What it has allocated.")
    ends_at = serializers.DateTimeField(allow_null=True, help_text="At the latest, if limited.")

    class Meta:
        ref_name = "AllocatedTo"


class LessSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="Of a submit.")
    at_most = serializers.FloatField()

    class Meta:
        ref_name = "Less"

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return dict(instance)


class HigherPrioritySerializer(serializers.Serializer):
    priority = serializers.CharField()
    evicts = EvictedSerializer(many=True)

    class Meta:
        ref_name = "HigherPriority"


class AnotherClusterSerializer(serializers.Serializer):
    cluster_id = serializers.UUIDField()
    name = serializers.CharField()
    evicts = EvictedSerializer(many=True)

    class Meta:
        ref_name = "AnotherCluster"


class AfterSerializer(serializers.Serializer):
    at = serializers.DateTimeField(allow_null=True, help_text="When time limits let it start.")
    end_of = serializers.UUIDField(allow_null=True, help_text="The last to end by then.")
    end_of_name = serializers.CharField(allow_null=True)
    any_one_of = serializers.ListField(
        child=serializers.UUIDField(), help_text="The end of any one of these would do."
    )
    any_one_of_names = serializers.ListField(child=serializers.CharField())

    class Meta:
        ref_name = "After"


class StartsNowWithSerializer(serializers.Serializer):
    """Each found by asking the planner about a changed request."""

    nothing_changed = serializers.BooleanField(
        allow_null=True, help_text="True: the next cycle starts it; null: unknown."
    )
    less = LessSerializer(many=True, help_text="The most of one resource, all else the same.")
    without_volumes = serializers.ListField(
        child=serializers.CharField(),
        help_text="Volumes that only some nodes have: without them, together, it starts now.",
    )
    without_exclusive = serializers.BooleanField(
        help_text="Whether it would start now if it took no whole nodes."
    )
    without_labels = serializers.DictField(
        child=serializers.CharField(),
        help_text="Labels of its `node_selector`: without them, together, it starts now.",
    )
    max_runtime_s = serializers.IntegerField(
        allow_null=True,
        help_text="The largest time limit with which it starts now, before maintenance begins.",
    )
    priority = HigherPrioritySerializer(allow_null=True, help_text="The lowest that would do.")
    another_cluster = AnotherClusterSerializer(many=True)
    after = AfterSerializer()

    class Meta:
        ref_name = "StartsNowWith"


EXPLANATION_EXAMPLE = {
    "id": EXAMPLE_DEPLOYMENT,
    "status": "QUEUED",
    "reason": WaitingSerializer.Meta.swagger_schema_fields["example"]["reason"],
    "queue_position": 5,
    "ahead": AHEAD_EXAMPLE,
    "eta": ETA_EXAMPLE,
    "reserved_since": None,
    "earliest_start": "2026-03-01T09:10:00Z",
    "preemption": PREEMPTION_EXAMPLE,
    "allocated_to": [
        {
            "deployment_id": EXAMPLE_VICTIM,
            "name": "nightly",
            "owner": "grace",
            "priority": "LOW",
            "allocated": {"cpu": 4, "ram": 16384, "gpu": 6},
            "ends_at": "2026-03-01T10:00:00Z",
        }
    ],
    "starts_now_with": {
        "nothing_changed": False,
        "less": [{"field": "required_gpu", "at_most": 2}],
        "without_volumes": [],
        "without_exclusive": False,
        "without_labels": {},
        "max_runtime_s": None,
        "priority": {
            "priority": "HIGH",
            "evicts": [
                {
                    "deployment_id": EXAMPLE_VICTIM,
                    "name": "nightly",
                    "owner": "grace",
                    "lost_s": 300,
                }
            ],
        },
        "another_cluster": [{"cluster_id": EXAMPLE_ID, "name": "gpu-east", "evicts": []}],
        "after": {
            "at": "2026-03-01T10:00:00Z",
            "end_of": EXAMPLE_VICTIM,
            "end_of_name": "nightly of grace",
            "any_one_of": [EXAMPLE_VICTIM],
            "any_one_of_names": ["nightly of grace"],
        },
    },
    "complete": True,
}


class ExplanationSerializer(serializers.Serializer):
    """Why a deployment is where it is, and what would let it start now."""

    id = serializers.UUIDField()
    status = serializers.CharField()
    reason = ReasonSerializer(allow_null=True)
    queue_position = serializers.IntegerField(allow_null=True)
    ahead = AheadSerializer(
        allow_null=True, help_text="While it is QUEUED; null too where more wait than are counted."
    )
    eta = EtaSerializer(
        allow_null=True, help_text="While it is QUEUED: when it starts, by forecast."
    )
    reserved_since = serializers.DateTimeField(
        allow_null=True,
        help_text="Since when what comes free is reserved for it, after `reserve_after_s`.",
    )
    earliest_start = serializers.DateTimeField(allow_null=True, help_text=EARLIEST_START)
    preemption = PreemptionSerializer(
        allow_null=True, help_text="Why nothing is preempted for it; while it is QUEUED."
    )
    allocated_to = AllocatedToSerializer(
        many=True, help_text="The deployments that have allocated what it is short of, most first."
    )
    starts_now_with = StartsNowWithSerializer(allow_null=True, help_text="While it is QUEUED.")
    complete = serializers.BooleanField(help_text=COMPLETE)

    class Meta:
        ref_name = "Explanation"
        swagger_schema_fields = {"example": EXPLANATION_EXAMPLE}
