"""What lists of deployments may be narrowed by beyond the columns that their order comes from.

Each is a piece of SQL about the row `d`, which an index of its own serves where it leaves few rows
(lists.py).
"""

import json
import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from mlops_platform.api.ids import first_uuid_at

NAME_ORDER = "C"
"""The collation of names in `deployment_by_name`: the same order in every database."""
MILLISECOND = timedelta(milliseconds=1)
"""What an id tells of a time for sure: those of earlier versions tell no more."""
ANY, ONE = "*", "?"
"""In a pattern: any letters or none, and exactly one."""
LAST_LETTER = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)  # no letters


class Condition(NamedTuple):
    """`sql` has a `%s` for each of `params`."""

    sql: str
    params: Sequence[Any]

    of_name: bool = False
    """Whether the index of names serves it in the order of names."""

    leaves_most: bool = False
    """Whether no index is worth asking, as it leaves most rows."""


def is_named(pattern: str) -> Condition:
    """Names that match; `pattern` begins with a letter that stands for itself."""
    start = re.split(r"[*?]", pattern, maxsplit=1)[0]
    name = f'd.name COLLATE "{NAME_ORDER}"'
    if start == pattern:
        return Condition(f"{name} = %s", [pattern], True)
    texts, params = [f"{name} >= %s"], [start]
    if behind := _behind(start):
        texts.append(f"{name} < %s")
        params.append(behind)
    if pattern != start + ANY:
        texts.append(f"{name} LIKE %s")
        params.append(_like(pattern))
    return Condition(" AND ".join(texts), params, True)


def has_label(name: str, value: str | None) -> Condition:
    """With any value where `value` is None."""
    labelled = "NOT d.labels = '{}'::jsonb"  # as the index has it
    if value is None:
        return Condition(f"{labelled} AND d.labels ? %s", [name])
    return Condition(f"{labelled} AND d.labels @> %s::jsonb", [json.dumps({name: value})])


def is_member_of(sweep: UUID) -> Condition:
    return Condition("d.sweep_id = %s", [sweep])


def is_no_member() -> Condition:
    """Of no sweep."""
    return Condition("d.sweep_id IS NULL", [], leaves_most=True)


def has_run_on(nodes: Collection[UUID]) -> Condition:
    """In any attempt, also the present one. What an earlier version has started tells its nodes
    until it ends."""
    ids = sorted(map(str, nodes))
    placed = "d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND d.ran_on IS NULL"
    return Condition(
        f"(d.ran_on && %s::uuid[] OR ({placed} AND d.placement @> ANY (%s::jsonb[])))",
        [ids, [json.dumps([{"node_id": each}]) for each in ids]],
    )


def started(after: datetime | None, before: datetime | None) -> list[Condition]:
    """Within this time; the start is that of the last attempt that ran."""
    return _within("d.started_at", after, before)


def finished(after: datetime | None, before: datetime | None) -> list[Condition]:
    return _within("d.finished_at", after, before)


def _within(column: str, after: datetime | None, before: datetime | None) -> list[Condition]:
    """Nothing starts or ends before it was submitted, so an early time is the end of a range of ids
    too."""
    found = [Condition(f"{column} > %s", [after])] if after else []
    if before:
        last = first_uuid_at(before + MILLISECOND)
        found.append(Condition(f"{column} < %s AND d.id < %s::uuid", [before, last]))
    return found


def _behind(start: str) -> str:
    """The first text behind all those that begin so; empty where there is none."""
    for length in range(len(start), 0, -1):
        code = ord(start[length - 1]) + 1
        code = SURROGATES.stop if code in SURROGATES else code
        if code <= LAST_LETTER:
            return start[: length - 1] + chr(code)
    return ""


def _like(pattern: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return escaped.replace(ANY, "%").replace(ONE, "_")
