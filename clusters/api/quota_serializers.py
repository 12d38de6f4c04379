"""The bodies of the quota calls."""

from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from clusters.api.amounts import cpu_field, gpu_field, ram_field
from clusters.models import Quota
from mlops_platform.api.fields import ShownCores
from mlops_platform.api.serializers import StrictSerializer

EXAMPLE_LIMITS = {"max_cpu": 16, "max_ram": 65536, "max_gpu": 2}
OPTIONAL = "null, or left out: no limit."


class LimitsSerializer(StrictSerializer):
    """The whole of a quota: what is left out is no limit."""

    max_cpu = cpu_field(
        "max_cpu_milli",
        least=0,
        default=None,
        allow_null=True,
        help_text=f"Cores; up to three decimals. {OPTIONAL}",
    )
    max_ram = ram_field(
        "max_ram_mib",
        least=0,
        default=None,
        allow_null=True,
        help_text=f"MiB. {OPTIONAL}",
    )
    max_gpu = gpu_field(default=None, allow_null=True, help_text=OPTIONAL)

    class Meta:
        ref_name = "Limits"
        swagger_schema_fields = {"example": EXAMPLE_LIMITS}


class AllocationSerializer(serializers.Serializer):
    cpu = ShownCores(help_text="Cores.")
    ram = serializers.IntegerField(help_text="MiB.")
    gpu = serializers.IntegerField()

    class Meta:
        ref_name = "Allocation"


class QuotaSerializer(serializers.Serializer):
    """A quota. Its context has `allocated`: the allocation by user id, in millicores, MiB, GPUs."""

    user_id = serializers.UUIDField(allow_null=True, help_text="null: the default.")
    username = serializers.SerializerMethodField()
    max_cpu = ShownCores(source="max_cpu_milli", allow_null=True, help_text="null: no limit.")
    max_ram = serializers.IntegerField(
        source="max_ram_mib", allow_null=True, help_text="null: no limit."
    )
    max_gpu = serializers.IntegerField(allow_null=True, help_text="null: no limit.")
    allocated = serializers.SerializerMethodField(
        help_text="What the user's deployments have allocated now; null in the default."
    )

    class Meta:
        ref_name = "Quota"
        swagger_schema_fields = {
            "example": {
                "user_id": "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11",
                "username": "grace",
                **EXAMPLE_LIMITS,
                "allocated": {"cpu": 4.5, "ram": 8192, "gpu": 2},
            }
        }

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_username(self, quota: Quota) -> str | None:
        return quota.user.username if quota.user else None

    @swagger_serializer_method(AllocationSerializer(allow_null=True))
    def get_allocated(self, quota: Quota) -> dict[str, Any] | None:
        if quota.user_id is None:
            return None
        cpu, ram, gpu = self.context["allocated"].get(quota.user_id, (0, 0, 0))
        return dict(AllocationSerializer({"cpu": cpu, "ram": ram, "gpu": gpu}).data)
