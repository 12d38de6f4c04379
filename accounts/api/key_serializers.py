"""The bodies of the calls for API keys. A secret goes out once and never comes in."""

from typing import Any

from rest_framework import serializers

from accounts.keys.queries import NAME
from accounts.keys.services import DEFAULT_EXPIRY_S, MALFORMED_NAME
from accounts.models import ApiKey
from mlops_platform.api.fields import Choice, Text, WholeNumber
from mlops_platform.api.scopes import KeyScope
from mlops_platform.api.serializers import StrictSerializer

SHORTEST_EXPIRY_S = 60
LONGEST_EXPIRY_S = 3660 * 24 * 3600  # what operators may allow at most
EXAMPLE_KEY: dict[str, Any] = {
    "id": "0199d1c6-41c8-7f3a-b2d4-5e6f70819203",
    "name": "nightly-training",
    "start": "mlops_4fQ9xK",
    "created_at": "2026-03-01T09:00:00Z",
    "expires_at": "2026-05-30T09:00:00Z",
    "last_used_at": "2026-03-02T08:30:00Z",
}
EXAMPLE_SECRET = "mlops_4fQ9xK…"  # noqa: S105  # cut, so that no scanner takes it for one


class KeyName(Text):
    default_error_messages = {"malformed": MALFORMED_NAME}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", MALFORMED_NAME)
        super().__init__(max_length=63, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not NAME.fullmatch(name):
            self.fail("malformed")
        return name


class KeyExpiry(WholeNumber):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Seconds from now, 90 days by default.")
        super().__init__(
            required=False,
            default=DEFAULT_EXPIRY_S,
            min_value=SHORTEST_EXPIRY_S,
            max_value=LONGEST_EXPIRY_S,
            **kwargs,
        )


class NewOwnKeySerializer(StrictSerializer):
    name = KeyName()
    scope = Choice(
        [(each.value, each.value) for each in KeyScope],
        help_text="`read` reads, `submit` also submits, changes and stops deployments, `manage` "
        "also does what else your role allows a program.",
    )
    expires_in_s = KeyExpiry()

    class Meta:
        ref_name = "NewApiKey"
        swagger_schema_fields = {
            "example": {"name": "nightly-training", "scope": "submit", "expires_in_s": 2592000}
        }


class KeySerializer(serializers.Serializer):
    """A key without its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    start = serializers.CharField(help_text="The secret's first characters.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(
        allow_null=True, help_text="Noted once a minute at most; null before the first use."
    )


class OwnKeySerializer(KeySerializer):
    scope = serializers.ChoiceField([each.value for each in KeyScope])

    class Meta:
        ref_name = "ApiKey"
        swagger_schema_fields: dict[str, Any] = {"example": {**EXAMPLE_KEY, "scope": "submit"}}


class IssuedOwnKeySerializer(OwnKeySerializer):
    key = serializers.CharField(help_text="The secret, which is never shown again.")

    class Meta:
        ref_name = "IssuedApiKey"
        swagger_schema_fields: dict[str, Any] = {
            "example": {**EXAMPLE_KEY, "scope": "submit", "last_used_at": None}
            | {"key": EXAMPLE_SECRET}
        }


def shown_once(shown: type[serializers.Serializer], key: ApiKey, token: str) -> dict[str, Any]:
    """The row as `shown` shows it, and the secret."""
    return {**shown(key).data, "key": token}
