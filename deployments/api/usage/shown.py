"""Groups of usage as rows of an answer: hours in place of products with milliseconds."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from deployments.usage.measures import COUNTS, LOSSES, MEASURES
from deployments.usage.report import CLUSTER, HOUR_MS, USER, Group

# Of each amount: the column, the measure, and how many of its units make one.
_UNITS = {
    "gpu_hours": ("gpu", 1),
    "core_hours": ("cpu_milli", 1000),
    "gib_hours": ("ram_mib", 1024),
}
_LOST_TO = {"evicted": "eviction", "failed": "failure", "lost": "node_loss"}
HOURS: Mapping[str, tuple[str, int]] = {
    **{column: (f"{name}_ms", per * HOUR_MS) for column, (name, per) in _UNITS.items()},
    **{
        f"{column}_lost_to_{_LOST_TO[outcome]}": (f"{outcome}_{name}_ms", per * HOUR_MS)
        for outcome in LOSSES
        for column, (name, per) in _UNITS.items()
    },
    "waiting_hours": ("waiting_ms", HOUR_MS),
}
DIGITS = 6  # of an hour: 3.6 ms
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that spreadsheets would compute."""


def shown(group: Group) -> dict[str, Any]:
    """One row."""
    row: dict[str, Any] = {}
    for word, key in group.keys.items():
        if word in (USER, CLUSTER):
            row[f"{word}_id"] = str(key)
            row[word] = group.names[word]
        else:
            row[word] = key.isoformat() if isinstance(key, date) else key
    return row | _values(group.measures, group.cost)


def total_of(groups: Sequence[Group]) -> dict[str, Any]:
    """The sum of all rows."""
    measures = {name: sum(each.measures[name] for each in groups) for name in MEASURES}
    costs = [each.cost for each in groups if each.cost is not None]
    return _values(measures, sum(costs[1:], costs[0]) if costs else None)


def _values(measures: Mapping[str, int], cost: Any) -> dict[str, Any]:
    hours = {name: round(measures[of] / per, DIGITS) for name, (of, per) in HOURS.items()}
    counts = {name: measures[name] for name in COUNTS}
    return {**hours, **counts, "cost": None if cost is None else round(float(cost), DIGITS)}


def columns_of(group_by: Sequence[str]) -> list[str]:
    keys: list[str] = []
    for word in group_by:
        keys += [f"{word}_id", word] if word in (USER, CLUSTER) else [word]
    return [*keys, *HOURS, *COUNTS, "cost"]


class _Line:
    """What csv writes, one line at a time."""

    def write(self, text: str) -> str:
        return text


def csv_lines(group_by: Sequence[str], groups: Sequence[Group]) -> Iterator[str]:
    """A line of names, then one for each group."""
    writer = csv.writer(_Line())
    columns = columns_of(group_by)
    yield str(writer.writerow(columns))
    for group in groups:
        row = shown(group)
        yield str(writer.writerow([safe_cell(row[name]) for name in columns]))


def safe_cell(value: UUID | str | float | None) -> Any:
    """Text that a spreadsheet would take for a formula has an apostrophe in front."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value
