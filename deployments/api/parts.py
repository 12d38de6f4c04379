"""Parts of an answer about a deployment."""

from rest_framework import serializers

from mlops_platform.api.fields import ShownCores


class ReasonSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField(help_text="A sentence for people, with the numbers.")
    details = serializers.DictField(help_text="The numbers, for programs.")


class AmountsSerializer(serializers.Serializer):
    """What each replica has of its node, or had last, where it takes whole nodes or all of their
    GPUs; else null."""

    cpu = ShownCores(source="cpu_milli")
    ram = serializers.IntegerField(source="ram_mib", help_text="MiB.")
    gpu = serializers.IntegerField()

    class Meta:
        ref_name = "Given"


class PlacementSerializer(serializers.Serializer):
    node_id = serializers.UUIDField(allow_null=True, help_text="Null in a cluster without nodes.")
    node = serializers.CharField(allow_null=True)
    replicas = serializers.IntegerField()


class VictimSerializer(serializers.Serializer):
    deployment_id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(help_text="The user's name.")
    lost_s = serializers.IntegerField(help_text="Seconds of work that it would lose.")

    class Meta:
        ref_name = "Victim"
