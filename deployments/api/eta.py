"""When a waiting deployment will start, as rows, explanations and quotes show it."""

from rest_framework import serializers

ETA_EXAMPLE = {
    "p50": "2026-03-01T09:40:00Z",
    "p90": "2026-03-01T10:15:00Z",
    "basis": "history",
    "message": "As likely as not by 2026-03-01 09:40:00 UTC, nine times in ten by 2026-03-01 "
    "10:15:00 UTC; rests on run times in this cluster's history.",
    "made_at": "2026-03-01T09:00:12Z",
}


class EtaSerializer(serializers.Serializer):
    """A forecast: the planner, run forward."""

    p50 = serializers.DateTimeField(
        allow_null=True, help_text="As likely as not it starts by then; null: see `message`."
    )
    p90 = serializers.DateTimeField(
        allow_null=True, help_text="Nine times in ten it starts by then; null: not known."
    )
    basis = serializers.ChoiceField(
        ["limits", "history", "too_large"],
        allow_null=True,
        help_text="What it rests on: limits and run times that are known, or the cluster's history "
        "as well; `too_large`: too much is ahead of it; null: nothing is known.",
    )
    message = serializers.CharField(help_text="All this in a sentence, or why there is none.")
    made_at = serializers.DateTimeField()

    class Meta:
        ref_name = "Eta"
        swagger_schema_fields = {"example": ETA_EXAMPLE}
