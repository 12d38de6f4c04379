"""The bodies of the calls that verify an address and reset a password."""

from accounts.api.serializers import Password
from mlops_platform.api.fields import Email, Text
from mlops_platform.api.serializers import StrictSerializer

LONGEST_LINK = 1024


class AskResetSerializer(StrictSerializer):
    email = Email(max_length=254)

    class Meta:
        swagger_schema_fields = {"example": {"email": "ada@example.org"}}


class ResetSerializer(StrictSerializer):
    token = Text(max_length=LONGEST_LINK)
    new_password = Password(help_text="At least 8 characters, not a common one, not like the name.")

    class Meta:
        swagger_schema_fields = {
            "example": {
                "token": "0199d1c27a3e7c519f0a3b1f6f2d8e11-c8zq4k-5d1f…",
                "new_password": "wrong-zebra-accumulator",
            }
        }


class LinkSerializer(StrictSerializer):
    token = Text(max_length=LONGEST_LINK)

    class Meta:
        swagger_schema_fields = {"example": {"token": "WyIwMTk5ZDFjMi…"}}
