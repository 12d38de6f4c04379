"""Which of an engine's GPUs a container gets.

Asked for a count, Docker hands the same first GPUs to every container. So they are named, by index,
and noted in a label: those that no container of the platform has on this engine, lowest first. That
there are enough is the scheduler's promise.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any

LABEL = "mlops-platform.gpus"  # "0,3"
AT_REST = {"exited", "dead"}  # their GPUs are free again


def unused(listed: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Indexes that none of the engine's containers has, from `GET /containers/json`; endless."""
    used = {
        index
        for item in listed
        if item["State"] not in AT_REST
        for index in str((item.get("Labels") or {}).get(LABEL, "")).split(",")
    }
    return (str(number) for number in count() if str(number) not in used)


def take(indexes: Iterator[str], wanted: int) -> tuple[str, ...]:
    return tuple(islice(indexes, wanted))
