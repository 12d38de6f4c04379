"""The bodies of the registry calls. A password goes in, and never comes out."""

import re
from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from mlops_platform.api.fields import Text
from mlops_platform.api.serializers import StrictSerializer

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?")
EXAMPLE = {
    "id": "0199d1c6-0d4e-7a31-b6f0-83c2a95d17ee",
    "host": "registry.example.com",
    "username": "robot",
}


class RegistryHost(Text):
    """`docker.io`, `registry.example.com:5000`: what stands before the first / of an image."""

    default_error_messages = {
        "bad_host": (
            "What stands before the first / of an image is required, such as docker.io or "
            "registry.example.com:5000, without https:// and without a path."
        )
    }

    def to_internal_value(self, data: Any) -> str:
        host = super().to_internal_value(data).lower()
        if not _HOST.fullmatch(host):
            self.fail("bad_host")
        return host


class NewRegistrySerializer(StrictSerializer):
    host = RegistryHost(max_length=253, help_text="docker.io is Docker Hub.")
    username = Text(
        max_length=255,
        validators=[RegexValidator(r"^[^:\x00-\x1f\x7f]+\Z", "No colon, no control characters.")],
    )
    password = Text(
        max_length=16 * 1024,
        trim_whitespace=False,
        write_only=True,
        help_text="Or a token; kept sealed, and never shown again.",
    )

    class Meta:
        ref_name = "NewRegistry"
        swagger_schema_fields = {
            "example": {
                "host": "registry.example.com",
                "username": "robot",
                "password": "of-the-robot",
            }
        }


class RegistrySerializer(serializers.Serializer):
    id = serializers.UUIDField()
    host = serializers.CharField()
    username = serializers.CharField()

    class Meta:
        ref_name = "Registry"
        swagger_schema_fields = {"example": EXAMPLE}
