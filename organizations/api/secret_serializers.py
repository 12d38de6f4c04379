"""The bodies of the calls for secrets. A value goes in and never comes out."""

from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from mlops_platform.api.fields import Text
from mlops_platform.api.serializers import StrictSerializer
from organizations.api.serializers import EXAMPLE_USER_ID
from organizations.models import SecretUse

LONGEST_VALUE = 64 * 1024  # characters; services.py measures the bytes, by a setting


class PutSecretSerializer(StrictSerializer):
    value = Text(
        max_length=LONGEST_VALUE,
        trim_whitespace=False,
        write_only=True,
        help_text="Never shown again. Up to 64 KiB in UTF-8, unless operators allow less.",
    )

    class Meta:
        ref_name = "SecretValue"
        swagger_schema_fields = {"example": {"value": "(what only containers may see)"}}


class SecretSerializer(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField(help_text="From 1; each write makes the next one.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(help_text="When this version was written.")
    updated_by = serializers.CharField(
        source="updated_by.username", default=None, allow_null=True, help_text="The user's name."
    )
    last_used_at = serializers.DateTimeField(
        allow_null=True, help_text="When a deployment was last started with it."
    )

    class Meta:
        ref_name = "Secret"
        swagger_schema_fields: dict[str, Any] = {
            "example": {
                "name": "hf-token",
                "version": 3,
                "created_at": "2026-03-01T09:00:00Z",
                "updated_at": "2026-05-12T08:30:00Z",
                "updated_by": "ada",
                "last_used_at": "2026-05-12T09:00:00Z",
            }
        }


class SecretUseSerializer(serializers.Serializer):
    deployment_id = serializers.UUIDField()
    name = serializers.SerializerMethodField(
        help_text="The deployment's; null of one that is gone."
    )
    attempt = serializers.IntegerField()
    version = serializers.IntegerField(help_text="The one with which the attempt was started.")
    user_id = serializers.UUIDField(help_text="The deployment's owner.")
    username = serializers.CharField(
        allow_null=True, help_text="The owner's name now; null of a user that is gone."
    )
    at = serializers.DateTimeField()

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_name(self, use: SecretUse) -> str | None:
        """Needs `names` by id in its context (hooks.name_deployments)."""
        name, _ = self.context["names"].get(str(use.deployment_id), (None, None))
        return name

    class Meta:
        ref_name = "SecretUse"
        swagger_schema_fields: dict[str, Any] = {
            "example": {
                "deployment_id": "0199d1c5-3f10-7e42-8a6b-9c0d51e27f34",
                "name": "train-resnet",
                "attempt": 1,
                "version": 3,
                "user_id": EXAMPLE_USER_ID,
                "username": "ada",
                "at": "2026-05-12T09:00:00Z",
            }
        }
