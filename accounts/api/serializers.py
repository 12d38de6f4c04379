"""The bodies of the user calls."""

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from rest_framework import serializers

from accounts.models import User
from mlops_platform.api.fields import Email, Text
from mlops_platform.api.names import check_name
from mlops_platform.api.serializers import StrictSerializer

LONGEST_PASSWORD = 128  # hashing is slow on purpose, and slower for a longer one
LONGEST_TOKEN = 4096
LONGEST_CODE = 48  # of an invitation
EXAMPLE_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoi.Zx8c0v9kq3"  # noqa: S105  # made up
EXAMPLE_ID = "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11"
EXAMPLE_ORGANIZATION = "0199d1c3-02b4-7d10-8c55-0c6f1b7a9d42"


class Username(Text):
    """A user name in the normal form (NFKC) that Django keeps, and so measured in that form."""

    longest_as_sent = 600  # to normalize a long text may take minutes

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=150, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return User.normalize_username(super().to_internal_value(data))


class Password(Text):
    """A password exactly as typed, spaces included."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=LONGEST_PASSWORD, trim_whitespace=False, write_only=True, **kwargs
        )


@cache
def timezones() -> frozenset[str]:
    """The names of the IANA database; read from disk once."""
    return frozenset(available_timezones())


class Timezone(Text):
    default_error_messages = {"unknown": 'Not a time zone; one is written like "Europe/Berlin".'}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if name not in timezones():
            self.fail("unknown")
        return name


class RegisterSerializer(StrictSerializer):
    username = Username(
        validators=[User.username_validator, check_name],
        help_text="Up to 150 letters, digits and @ . + - _; unique in any letter case.",
    )
    password = Password(help_text="At least 8 characters, not a common one, not like the name.")
    email = Email(max_length=254, required=False, allow_blank=True)
    invite_code = Text(
        max_length=LONGEST_CODE,
        required=False,
        help_text="Makes you a member at once. Some platforms demand one.",
    )

    class Meta:
        swagger_schema_fields = {
            "example": {
                "username": "ada",
                "password": "correct-horse-battery",
                "email": "ada@example.org",
            }
        }


class RegisteredSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    username = serializers.CharField()

    class Meta:
        swagger_schema_fields = {"example": {"id": EXAMPLE_ID, "username": "ada"}}


class LoginSerializer(StrictSerializer):
    username = Username()
    password = Password()

    class Meta:
        swagger_schema_fields = {
            "example": {"username": "ada", "password": "correct-horse-battery"}
        }


class ChangePasswordSerializer(StrictSerializer):
    old_password = Password()
    new_password = Password(
        help_text="At least 8 characters, not a common one, not like the name, and another one."
    )

    class Meta:
        swagger_schema_fields = {
            "example": {
                "old_password": "correct-horse-battery",
                "new_password": "wrong-zebra-accumulator",
            }
        }


class RefreshTokenSerializer(StrictSerializer):
    refresh_token = Text(max_length=LONGEST_TOKEN)

    class Meta:
        swagger_schema_fields = {"example": {"refresh_token": EXAMPLE_TOKEN}}


class TokenPairSerializer(serializers.Serializer):
    access_token = serializers.CharField(
        help_text="For the Authorization header; lives 15 minutes."
    )
    refresh_token = serializers.CharField(help_text="For refresh and logout; can be used once.")
    token_type = serializers.CharField()

    class Meta:
        swagger_schema_fields = {
            "example": {
                "access_token": EXAMPLE_TOKEN,
                "refresh_token": EXAMPLE_TOKEN,
                "token_type": "bearer",
            }
        }


class ProfileSerializer(StrictSerializer):
    display_name = Text(max_length=100, required=False, allow_blank=True, validators=[check_name])
    timezone = Timezone(max_length=64, required=False)


class OwnMembershipSerializer(serializers.Serializer):
    organization_id = serializers.UUIDField()
    organization = serializers.CharField(source="organization.name")
    role = serializers.CharField()


class MeSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.CharField()
    email_verified = serializers.BooleanField(help_text="It can reset the password.")
    date_joined = serializers.DateTimeField()
    profile = ProfileSerializer()
    memberships = OwnMembershipSerializer(many=True)

    class Meta:
        swagger_schema_fields = {
            "example": {
                "id": EXAMPLE_ID,
                "username": "ada",
                "email": "ada@example.org",
                "email_verified": True,
                "date_joined": "2026-03-01T09:00:00Z",
                "profile": {"display_name": "Ada Lovelace", "timezone": "Europe/London"},
                "memberships": [
                    {
                        "organization_id": EXAMPLE_ORGANIZATION,
                        "organization": "Analytical Engines",
                        "role": "ADMIN",
                    }
                ],
            }
        }


class ChangeMeSerializer(StrictSerializer):
    email = Email(max_length=254, required=False, allow_blank=True)
    profile = ProfileSerializer(required=False)

    class Meta:
        swagger_schema_fields = {
            "example": {
                "email": "ada@example.org",
                "profile": {"display_name": "Ada Lovelace", "timezone": "Europe/London"},
            }
        }
