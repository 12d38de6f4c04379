"""The causes of a failure by which a submit decides whether it is tried again."""

import re
from typing import Any

from rest_framework.fields import empty

from deployments.lifecycle.retry_rules import CAUSES
from mlops_platform.api.fields import BoundedList, Text

MOST_CAUSES = 64
LARGEST_EXIT_CODE = 255
MOST_FACTOR_MILLI = 10_000
_EXIT_CODES = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


class Cause(Text):
    """`OUT_OF_MEMORY`, an exit code, or a range of them: `75`, `100-120`. A JSON integer is an exit
    code, too."""

    default_error_messages = {
        "unknown": "An exit code such as 75, a range such as 100-120, each from 0 to "
        f"{LARGEST_EXIT_CODE}, or one of {', '.join(sorted(CAUSES))}."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=32, **kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        if isinstance(data, int) and not isinstance(data, bool):
            if not 0 <= data <= LARGEST_EXIT_CODE:
                self.fail("unknown")
            return str(data)
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if text.isascii() and text.upper() in CAUSES:
            return text.upper()
        found = _EXIT_CODES.fullmatch(text)
        if not found:
            self.fail("unknown")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last <= LARGEST_EXIT_CODE:
            self.fail("unknown")
        return str(first) if first == last else f"{first}-{last}"


class Causes(BoundedList):
    """Causes in one spelling, each once; their order has no meaning, so they come out sorted."""

    default_error_messages = {"twice": "Each cause at most once."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Cause(), most=MOST_CAUSES, elements="causes", allow_empty=False, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        causes = sorted(super().to_internal_value(data))
        if len(set(causes)) < len(causes):
            self.fail("twice")
        return causes
