"""The bodies of the calls for usage and prices."""

from typing import Any

from rest_framework import serializers

from clusters.api.labels import Labels
from deployments.api.body.fields import Items
from deployments.api.usage.shown import HOURS
from deployments.usage.measures import COUNTS
from deployments.usage.models import Price
from mlops_platform.api.fields import Thousandths
from mlops_platform.api.serializers import StrictSerializer

MOST_PRICES = 100
MOST_MILLI = 10**9  # a million
EXAMPLE_PRICES = {
    "prices": [
        {"node_labels": {"gpu": "a100"}, "gpu_hour": 2.5, "core_hour": 0.04, "gib_hour": 0.005},
        {"node_labels": {}, "gpu_hour": 1, "core_hour": 0.04, "gib_hour": 0.005},
    ]
}
_SUM: dict[str, Any] = {**dict.fromkeys(HOURS, 0.0), **dict.fromkeys(COUNTS, 0), "cost": 1250.5}
_SUM |= {"gpu_hours": 500.2, "core_hours": 2000.8, "gib_hours": 8003.2, "started": 41}
_SUM |= {"gpu_hours_lost_to_eviction": 3.25, "waiting_hours": 12.5, "completed": 38, "evicted": 3}
EXAMPLE_USER = "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11"
EXAMPLE_USAGE: dict[str, Any] = {
    "begin": "2026-03-01T00:00:00Z",
    "end": "2026-04-01T00:00:00Z",
    "group_by": ["user"],
    "results": [{"user_id": EXAMPLE_USER, "user": "ada", **_SUM}],
    "total": _SUM,
}


class PriceSerializer(StrictSerializer):
    """What an hour costs on nodes that carry the label; without one, on any."""

    node_labels = Labels(most=1, default=dict, help_text="One label of nodes, or none.")
    gpu_hour = Thousandths(min_milli=0, max_milli=MOST_MILLI)
    core_hour = Thousandths(min_milli=0, max_milli=MOST_MILLI)
    gib_hour = Thousandths(min_milli=0, max_milli=MOST_MILLI, help_text="Of RAM.")

    class Meta:
        ref_name = "NewPrice"


class PutPricesSerializer(StrictSerializer):
    prices = Items(
        PriceSerializer(),
        most=MOST_PRICES,
        help_text="Of those that fit a node the first one counts.",
    )

    class Meta:
        ref_name = "NewPrices"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE_PRICES}


class ShownPriceSerializer(serializers.Serializer):
    node_labels = serializers.SerializerMethodField()
    gpu_hour = serializers.FloatField()
    core_hour = serializers.FloatField()
    gib_hour = serializers.FloatField()

    class Meta:
        ref_name = "Price"

    def get_node_labels(self, price: Price) -> dict[str, str]:
        return {price.label: price.value} if price.label else {}


class PricesSerializer(serializers.Serializer):
    prices = ShownPriceSerializer(many=True)

    class Meta:
        ref_name = "Prices"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE_PRICES}


class UsageSumSerializer(serializers.Serializer):
    """What was allocated; hours are decimals. Of them, what was lost since the last checkpoint."""

    class Meta:
        ref_name = "UsageSum"
        swagger_schema_fields: dict[str, Any] = {"example": _SUM}

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {name: serializers.FloatField() for name in HOURS}
        fields |= {name: serializers.IntegerField() for name in COUNTS}
        fields["cost"] = serializers.FloatField(
            allow_null=True, help_text="By the prices; null where the organization has none."
        )
        return fields


class UsageRowSerializer(UsageSumSerializer):
    """The sum of a group, with what it is of; which of these are there follows from `group_by`."""

    class Meta:
        ref_name = "UsageRow"
        always_there = [*HOURS, *COUNTS, "cost"]
        swagger_schema_fields: dict[str, Any] = {
            "example": {"user_id": EXAMPLE_USER, "user": "ada", **_SUM}
        }

    def get_fields(self) -> dict[str, Any]:
        keys: dict[str, Any] = {
            "user_id": serializers.UUIDField(),
            "user": serializers.CharField(help_text="As it was called then."),
            "cluster_id": serializers.UUIDField(),
            "cluster": serializers.CharField(help_text="As it was called then."),
            "priority": serializers.CharField(),
            "label": serializers.CharField(allow_null=True, help_text="Null: without that label."),
            "day": serializers.DateField(help_text="In UTC."),
            "node_label": serializers.CharField(allow_null=True, help_text="The same."),
        }
        return keys | super().get_fields()


class UsageSerializer(serializers.Serializer):
    begin = serializers.DateTimeField()
    end = serializers.DateTimeField()
    group_by = serializers.ListField(child=serializers.CharField())
    results = UsageRowSerializer(many=True)
    total = UsageSumSerializer()

    class Meta:
        ref_name = "Usage"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE_USAGE}
