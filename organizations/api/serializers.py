"""The bodies of the organization calls."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from accounts.api.serializers import LONGEST_CODE
from mlops_platform.api.fields import Choice, Text, WholeNumber
from mlops_platform.api.names import check_name
from mlops_platform.api.serializers import StrictSerializer
from organizations.models import InviteCode, Membership, Organization, Role
from organizations.queries import codes_of, shown_codes

SHORTEST_EXPIRY_S, LONGEST_EXPIRY_S = 60, 365 * 24 * 3600
MOST_USES = 1_000_000
EXAMPLE_ID = "0199d1c3-02b4-7d10-8c55-0c6f1b7a9d42"
EXAMPLE_USER_ID = "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11"
EXAMPLE_CODES = {
    "admin_invite_code": "q8Jm0dV2xYw3nK5tR7uB1zAc",
    "developer_invite_code": "H4sLpE9iTg6oXv8yCf2mWj0k",
    "viewer_invite_code": "b7NzQa3rUe5dMh1sGx9vPk4w",
}


def flat_codes(codes: Iterable[InviteCode]) -> dict[str, str | None]:
    """The three keys of the contract; null where the live code is expired or used up."""
    usable = {code.role: code.code for code in codes if code.usable}
    return {f"{role.lower()}_invite_code": usable.get(role) for role in Role}


class NewOrganizationSerializer(StrictSerializer):
    name = Text(max_length=100, validators=[check_name])

    class Meta:
        swagger_schema_fields = {"example": {"name": "Analytical Engines"}}


class OrganizationSerializer(serializers.Serializer):
    """What any user may see."""

    id = serializers.UUIDField()
    name = serializers.CharField()

    class Meta:
        swagger_schema_fields = {"example": {"id": EXAMPLE_ID, "name": "Analytical Engines"}}


class CodesSerializer(serializers.Serializer):
    """The keys of flat_codes, for the schema."""

    admin_invite_code = serializers.CharField(allow_null=True, required=False)
    developer_invite_code = serializers.CharField(allow_null=True, required=False)
    viewer_invite_code = serializers.CharField(allow_null=True, required=False)


class CreatedOrganizationSerializer(CodesSerializer):
    """An organization as its founder sees it."""

    id = serializers.UUIDField()
    name = serializers.CharField()

    class Meta:
        swagger_schema_fields = {
            "example": {"id": EXAMPLE_ID, "name": "Analytical Engines", **EXAMPLE_CODES}
        }

    def to_representation(self, organization: Organization) -> dict[str, Any]:
        shown = {"id": organization.pk, "name": organization.name}
        return shown | flat_codes(codes_of(organization))


class OwnOrganizationSerializer(CodesSerializer):
    """An organization as a member sees it; the codes are there for an ADMIN only, and for no API
    key, which must let none in."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)
    created_at = serializers.DateTimeField()

    class Meta:
        swagger_schema_fields = {
            "example": {
                "id": EXAMPLE_ID,
                "name": "Analytical Engines",
                "role": "ADMIN",
                "created_at": "2026-03-01T09:00:00Z",
                **EXAMPLE_CODES,
            }
        }

    def to_representation(self, membership: Membership) -> dict[str, Any]:
        organization = membership.organization
        shown = {
            "id": organization.pk,
            "name": organization.name,
            "role": membership.role,
            "created_at": organization.created_at,
        }
        if membership.role != Role.ADMIN or self.context["request"].user.api_key:
            return shown
        return shown | flat_codes(shown_codes(membership))


class JoinSerializer(StrictSerializer):
    invite_code = Text(max_length=LONGEST_CODE)

    class Meta:
        swagger_schema_fields = {"example": {"invite_code": EXAMPLE_CODES["developer_invite_code"]}}


class JoinedSerializer(serializers.Serializer):
    organization_id = serializers.UUIDField()
    organization = serializers.CharField(source="organization.name")
    role = serializers.ChoiceField(Role.choices)

    class Meta:
        swagger_schema_fields = {
            "example": {
                "organization_id": EXAMPLE_ID,
                "organization": "Analytical Engines",
                "role": "DEVELOPER",
            }
        }


class MemberSerializer(serializers.Serializer):
    user_id = serializers.UUIDField()
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(Role.choices)
    joined_at = serializers.DateTimeField()

    class Meta:
        swagger_schema_fields = {
            "example": {
                "user_id": EXAMPLE_USER_ID,
                "username": "ada",
                "role": "ADMIN",
                "joined_at": "2026-03-01T09:00:00Z",
            }
        }


class BanSerializer(serializers.Serializer):
    """A removed member, as an ADMIN sees it."""

    user_id = serializers.UUIDField()
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(Role.choices, help_text="The one that the member had.")
    banned_at = serializers.DateTimeField()
    banned_by = serializers.CharField(
        source="banned_by.username", default=None, allow_null=True, help_text="The ADMIN's name."
    )

    class Meta:
        swagger_schema_fields = {
            "example": {
                "user_id": EXAMPLE_USER_ID,
                "username": "ada",
                "role": "ADMIN",
                "banned_at": "2026-03-01T09:00:00Z",
                "banned_by": "grace",
            }
        }


class ChangeRoleSerializer(StrictSerializer):
    role = Choice(Role.choices)

    class Meta:
        swagger_schema_fields = {"example": {"role": "DEVELOPER"}}


class NewCodeSerializer(StrictSerializer):
    role = Choice(Role.choices)
    expires_in_s = WholeNumber(
        required=False,
        allow_null=True,
        min_value=SHORTEST_EXPIRY_S,
        max_value=LONGEST_EXPIRY_S,
        help_text="Seconds from now; without it the code does not expire.",
    )
    max_uses = WholeNumber(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MOST_USES,
        help_text="Without it as many may join as like.",
    )

    class Meta:
        swagger_schema_fields = {
            "example": {"role": "DEVELOPER", "expires_in_s": 604800, "max_uses": 10}
        }


class CodeSerializer(serializers.Serializer):
    role = serializers.ChoiceField(Role.choices)
    code = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)
    max_uses = serializers.IntegerField(allow_null=True)
    uses = serializers.IntegerField()

    class Meta:
        swagger_schema_fields = {
            "example": {
                "role": "DEVELOPER",
                "code": EXAMPLE_CODES["developer_invite_code"],
                "expires_at": "2026-03-08T09:00:00Z",
                "max_uses": 10,
                "uses": 0,
            }
        }
