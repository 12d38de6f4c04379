"""The bodies of the calls for invitations. A token goes out once."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from mlops_platform.api.fields import Choice, Email, WholeNumber
from mlops_platform.api.serializers import StrictSerializer
from organizations.api.serializers import LONGEST_EXPIRY_S, SHORTEST_EXPIRY_S
from organizations.invitations.services import DEFAULT_EXPIRY_S, GIVEN_UP, NewInvitation, link_to
from organizations.models import Invitation, Role

MOST_USES = 1000
STATES = {
    "open": "users may join by it",
    "sending": "the mail is on its way to the mail server",
    "not_sent": "the mail server has not taken it within an hour: revoke it and try another way",
    "used_up": "as many as it allows have joined",
    "expired": "its time is over",
    "revoked": "an ADMIN has ended it, or the member who made it or joined by it was removed",
}
PASS_ON = "Pass the link on: this answer alone has it."  # noqa: S105  # a sentence
MAILED = "The link is mailed to {}; it is not shown here."
EXAMPLE: dict[str, Any] = {
    "id": "0199d1c8-07b1-7c1e-8a52-6d1f0b9e3c47",
    "role": "DEVELOPER",
    "email": "",
    "state": "open",
    "max_uses": 5,
    "uses": 1,
    "uses_left": 4,
    "joined": ["grace"],
    "created_by": "ada",
    "created_at": "2026-03-01T09:00:00Z",
    "expires_at": "2026-03-08T09:00:00Z",
}


class NewInvitationSerializer(StrictSerializer):
    role = Choice(Role.choices)
    expires_in_s = WholeNumber(
        required=False,
        default=DEFAULT_EXPIRY_S,
        min_value=SHORTEST_EXPIRY_S,
        max_value=LONGEST_EXPIRY_S,
        help_text="Seconds from now, 7 days by default.",
    )
    max_uses = WholeNumber(
        required=False,
        default=1,
        min_value=1,
        max_value=MOST_USES,
        help_text="So many users may join by it.",
    )
    email = Email(
        max_length=254,
        required=False,
        allow_blank=True,
        help_text="For one user. Where the platform sends mail, the link is sent there.",
    )

    class Meta:
        swagger_schema_fields = {
            "example": {"role": "DEVELOPER", "expires_in_s": 604800, "max_uses": 5}
        }


class InvitationSerializer(serializers.Serializer):
    """An invitation without its token."""

    id = serializers.UUIDField()
    role = serializers.ChoiceField(Role.choices)
    email = serializers.CharField()
    state = serializers.ChoiceField(
        list(STATES), help_text="; ".join(f"`{name}`: {what}" for name, what in STATES.items())
    )
    max_uses = serializers.IntegerField()
    uses = serializers.IntegerField()
    uses_left = serializers.IntegerField()
    joined = serializers.ListField(
        child=serializers.CharField(), help_text="The members who came by it, by name."
    )
    created_by = serializers.CharField(allow_null=True, help_text="The ADMIN's name.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    class Meta:
        ref_name = "Invitation"
        swagger_schema_fields: dict[str, Any] = {"example": EXAMPLE}

    def to_representation(self, invitation: Invitation) -> dict[str, Any]:
        shown = {name: getattr(invitation, name) for name in _COLUMNS}
        by = invitation.created_by
        return shown | {
            "state": state_of(invitation),
            "uses_left": invitation.max_uses - invitation.uses,
            "joined": [member.user.username for member in invitation.members.all()],
            "created_by": by.username if by else None,
        }


_COLUMNS = ("id", "role", "email", "max_uses", "uses", "created_at", "expires_at")


class IssuedInvitationSerializer(InvitationSerializer):
    token = serializers.CharField(
        allow_null=True, help_text="For `invite_code` of joining or registering; shown once."
    )
    link = serializers.CharField(allow_null=True, help_text="With the token; null where mailed.")
    note = serializers.CharField(help_text="How the link gets to the user.")

    class Meta:
        ref_name = "IssuedInvitation"
        swagger_schema_fields: dict[str, Any] = {
            "example": {
                **EXAMPLE,
                "uses": 0,
                "uses_left": 5,
                "joined": [],
                "token": "join_4fQ9xK…",
                "link": "https://ml.example.org/sign-on/join/join_4fQ9xK…",
                "note": PASS_ON,
            }
        }


def state_of(invitation: Invitation) -> str:
    """One of STATES."""
    now: datetime = invitation.read_at  # type: ignore[attr-defined]  # annotated by the query
    if invitation.revoked_at is not None:
        return "revoked"
    if invitation.uses >= invitation.max_uses:
        return "used_up"
    if invitation.expires_at <= now:
        return "expired"
    if invitation.by_mail and invitation.sent_at is None:
        return "sending" if now - invitation.created_at < GIVEN_UP else "not_sent"
    return "open"


def shown_once(issued: NewInvitation, row: Invitation, host: str) -> dict[str, Any]:
    """The answer that has the token; `row` is the invitation as a list has it."""
    token, email = issued.token, issued.invitation.email
    return {
        **InvitationSerializer(row).data,
        "token": token,
        "link": link_to(token, host) if token else None,
        "note": PASS_ON if token else MAILED.format(email),
    }
