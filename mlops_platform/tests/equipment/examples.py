"""How many random examples a property test tries.

`make test` tries a part of them, so that all tests end within some minutes, and `make properties`
all of them or more: it is for changes of the engine, and for the night.
"""

import os
import zlib
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
SHARE = float(os.environ.get("MLOPS_EXAMPLES", "0.25"))


def part_of(cases: Iterable[T], name: str, divisor: int) -> list[T]:
    """Every so many of the cases, from one on that the name chooses, so that tests of many names
    try all kinds; all of them with `make properties`."""
    first = 0 if SHARE >= 1 else zlib.crc32(name.encode()) % divisor
    return [*islice(cases, first, None, 1 if SHARE >= 1 else divisor)]


def examples(count: int) -> int:
    return max(round(count * SHARE), min(count, 20))
