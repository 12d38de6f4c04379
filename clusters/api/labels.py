"""Labels: what nodes and deployments carry and selectors ask for, in the syntax of Kubernetes."""

import re
from typing import Any

from rest_framework import serializers

from mlops_platform.api.fields import Text

MOST_LABELS = 64
LONGEST_PREFIX = 253

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"(?:(?P<prefix>{_DNS}(?:\.{_DNS})*)/)?{_WORD}")
VALUE = re.compile(rf"(?:{_WORD})?")


class Labels(serializers.DictField):
    """Values by name: `{"zone": "b", "nvidia.com/gpu.product": "A100"}`."""

    default_error_messages = {
        "too_many": "At most {most} labels.",
        "bad_name": (
            "A name has letters, digits, -, _ and ., begins and ends with a letter or digit, and "
            "has 63 characters at most; a DNS name and a / may stand before it: {name}."
        ),
        "bad_value": (
            "A value has letters, digits, -, _ and ., begins and ends with a letter or digit, and "
            "has 63 characters at most: {value}."
        ),
    }

    def __init__(self, *, most: int = MOST_LABELS, **kwargs: Any) -> None:
        self.most = most
        child = Text(allow_blank=True, trim_whitespace=False)
        super().__init__(child=child, **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if isinstance(data, dict):
            if len(data) > self.most:
                self.fail("too_many", most=self.most)
            for name in data:
                found = NAME.fullmatch(name)
                if not found or len(found["prefix"] or "") > LONGEST_PREFIX:
                    self.fail("bad_name", name=repr(name[:50]))
            for value in data.values():
                if isinstance(value, str) and not VALUE.fullmatch(value):
                    self.fail("bad_value", value=repr(value[:50]))
        labels: dict[str, str] = super().to_internal_value(data)
        return labels
