"""Chooses which of an engine's GPUs a container gets.

Given a count, Docker gives the same first GPUs to every container. So the platform names them by
index, and notes them in a label: the lowest ones that no container of the platform on this engine
has. The scheduler makes sure that there are enough.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any

LABEL = "mlops-platform.gpus"  # "0,3"
AT_REST = {"exited", "dead"}  # their GPUs are free again


def unused(listed: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Indexes that no container of `GET /containers/json` has, lowest first, without end."""
    used = {
        index
        for item in listed
        if item["State"] not in AT_REST
        for index in str((item.get("Labels") or {}).get(LABEL, "")).split(",")
    }
    return (str(number) for number in count() if str(number) not in used)


def take(indexes: Iterator[str], wanted: int) -> tuple[str, ...]:
    return tuple(islice(indexes, wanted))
