"""What an explanation and a quote say of those that are ahead."""

from rest_framework import serializers

from scheduler.answers.ahead import ALLOCATED, ASKED, CLASS, TIME

AHEAD_EXAMPLE = {
    "higher_class": 1,
    "larger_share": 0,
    "less_allocated": 0,
    "earlier": 3,
    "impossible": 2,
    "total": 4,
    "order": [CLASS, ASKED, TIME],
    "message": "1 of a higher class, 3 that came earlier in your class; "
    "order: class, share asked for, time.",
}


class AheadSerializer(serializers.Serializer):
    """How many that wait are ahead of it in the scheduling order, by the first rule that says so.
    Those that wait for others to complete, or for their retry, are not in line."""

    higher_class = serializers.IntegerField()
    larger_share = serializers.IntegerField(
        help_text="Of its class; they ask for a larger share of the cluster (`gpu_weighted`)."
    )
    less_allocated = serializers.IntegerField(
        help_text="Of its class; their owners have less of the cluster allocated (`fair_share`)."
    )
    earlier = serializers.IntegerField(help_text="Of its class, and equal by the rule between.")
    impossible = serializers.IntegerField(
        help_text="Not even the empty cluster could run these: they stand at the end of the line, "
        "and are not counted as ahead."
    )
    total = serializers.IntegerField(help_text="Ahead of it in all.")
    order = serializers.ListField(
        child=serializers.ChoiceField([CLASS, ASKED, ALLOCATED, TIME]),
        help_text="The rules, the first that differs decides.",
    )
    message = serializers.CharField(help_text="All this in a sentence.")

    class Meta:
        ref_name = "Ahead"
