"""The bodies of the calls for an organization's API keys."""

from typing import Any

from rest_framework import serializers

from accounts.api.key_serializers import (
    EXAMPLE_KEY,
    EXAMPLE_SECRET,
    KeyExpiry,
    KeyName,
    KeySerializer,
)
from mlops_platform.api.fields import Choice
from mlops_platform.api.serializers import StrictSerializer
from organizations.api.serializers import EXAMPLE_USER_ID
from organizations.models import Role

EXAMPLE: dict[str, Any] = {
    **EXAMPLE_KEY,
    "role": "DEVELOPER",
    "user_id": EXAMPLE_USER_ID,
    "username": "nightly-training@5b1f03c2",
    "created_by": "ada",
}


class NewKeySerializer(StrictSerializer):
    name = KeyName()
    role = Choice(Role.choices, help_text="The key may what a member of this role may.")
    expires_in_s = KeyExpiry()

    class Meta:
        ref_name = "NewOrganizationKey"
        swagger_schema_fields = {
            "example": {"name": "nightly-training", "role": "DEVELOPER", "expires_in_s": 2592000}
        }


class OrganizationKeySerializer(KeySerializer):
    role = serializers.ChoiceField(
        Role.choices, allow_null=True, help_text="Its account's; null of one that is no member."
    )
    user_id = serializers.UUIDField(help_text="Of the service account, as which the key acts.")
    username = serializers.CharField(source="user.username")
    created_by = serializers.CharField(
        source="created_by.username", default=None, allow_null=True, help_text="The ADMIN's name."
    )

    class Meta:
        ref_name = "OrganizationKey"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE}


class IssuedKeySerializer(OrganizationKeySerializer):
    key = serializers.CharField(help_text="The secret, which is never shown again.")

    class Meta:
        ref_name = "IssuedOrganizationKey"
        swagger_schema_fields: dict[str, Any] = {
            "example": {**EXAMPLE, "last_used_at": None, "key": EXAMPLE_SECRET}
        }
