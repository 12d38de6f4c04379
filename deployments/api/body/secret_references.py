"""The field `secrets` of a submit: which secrets its containers get, and where."""

import re
from itertools import pairwise
from typing import Any

from rest_framework import serializers

from deployments.api.body.fields import OF_THE_PLATFORM, VARIABLE
from mlops_platform.api.fields import BoundedList, Choice, Text
from mlops_platform.api.serializers import StrictSerializer
from organizations.secrets.owners import Scope
from organizations.secrets.queries import NAME

MOST_REFERENCES = 16  # 64 KiB each are the 1 MiB of a Kubernetes Secret
LONGEST_PATH, MOST_FOLDERS = 255, 8
_PART = re.compile(r"(?!\.\.)[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*")


class FilePath(Text):
    """A path below /run/secrets."""

    default_error_messages = {
        "malformed": "A path below /run/secrets such as hf/token: letters, digits and . _ -, and "
        "no part that begins with two dots.",
        "too_deep": f"At most {MOST_FOLDERS} parts.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_PATH, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        path = super().to_internal_value(data)
        parts = path.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            self.fail("malformed")
        if len(parts) > MOST_FOLDERS:
            self.fail("too_deep")
        return path


class SecretVariable(Text):
    """The name of an environment variable that a secret sets."""

    default_error_messages = {
        "malformed": "A name has letters, digits and _, and does not start with a digit.",
        "reserved": "The platform sets this variable itself.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not VARIABLE.fullmatch(name):
            self.fail("malformed")
        if OF_THE_PLATFORM.fullmatch(name):
            self.fail("reserved")
        return name


class SecretName(Text):
    default_error_messages = {"malformed": "No secret has such a name."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=63, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not NAME.fullmatch(name):
            self.fail("malformed")
        return name


class SecretReferenceSerializer(StrictSerializer):
    name = SecretName()
    scope = Choice(
        [each.value for each in Scope],
        required=False,
        help_text="Else your own of that name, where you have one, and that of the organization.",
    )
    env = SecretVariable(required=False, help_text="The variable to set; or a file.")
    file = FilePath(required=False, help_text="The file to make, below /run/secrets.")

    class Meta:
        ref_name = "SecretReference"
        swagger_schema_fields = {"example": {"name": "hf-token", "env": "HF_TOKEN"}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("env" in attrs) == ("file" in attrs):
            raise serializers.ValidationError({"env": ["One of env and file, and not both."]})
        return attrs


class SecretReferences(BoundedList):
    default_error_messages = {
        "twice": "{target} is given twice.",
        "folder": "{target} cannot be both a file and a folder.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(SecretReferenceSerializer(), most=MOST_REFERENCES, **kwargs)

    def to_internal_value(self, data: Any) -> list[dict[str, Any]]:
        references = super().to_internal_value(data)
        for kind in ("env", "file"):
            targets = sorted(each[kind] for each in references if kind in each)
            for target, following in pairwise(targets):
                if target == following:
                    self.fail("twice", target=target)
        files = {each["file"] for each in references if "file" in each}
        for path in files:
            if any(other.startswith(f"{path}/") for other in files):
                self.fail("folder", target=path)
        return references


class ShownSecretReferenceSerializer(serializers.Serializer):
    scope = serializers.ChoiceField([each.value for each in Scope])
    name = serializers.CharField(
        allow_null=True, help_text="Null for another person's: only the owner knows the name."
    )
    env = serializers.CharField(required=False)
    file = serializers.CharField(required=False)

    class Meta:
        ref_name = "ShownSecretReference"
