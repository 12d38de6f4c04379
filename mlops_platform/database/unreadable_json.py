"""Objects of JSON columns that cannot be read: each is replaced by a mark, so that a row with one
keeps no reader from the row, nor from others."""

import json
import math
from types import MappingProxyType
from typing import Any

UNREADABLE = MappingProxyType({"unreadable": True})
"""Instead of an object that is none, or has a number that Python or JSON cannot write again."""


class DetailsDecoder(json.JSONDecoder):
    """Reads an object. Numbers of PostgreSQL may be larger than a float's, and longer than Python
    converts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(parse_float=_finite, **options)

    def decode(self, s: str, *_: Any) -> dict[str, Any]:
        try:
            found = super().decode(s)
        except (ValueError, RecursionError):
            return dict(UNREADABLE)
        return found if isinstance(found, dict) else dict(UNREADABLE)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("The number is too large.")
    return number
