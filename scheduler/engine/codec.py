"""Snapshots and plans as canonical JSON, deflated: what the ledger keeps and replay compares.

Canonical: rows as arrays in the order of their fields, sorted keys in objects, no white space. The
same value always gives the same bytes.
"""

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

from scheduler.engine.plan import Eviction, Plan, Start, Wait
from scheduler.engine.reasons import Code, Reason
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import (
    Node,
    Placement,
    Policy,
    PriorityClass,
    Running,
    Snapshot,
    Workload,
)

FORMAT = 3


class UnreadableLedgerError(Exception):
    """Bytes that this version did not write."""


def encode_snapshot(snapshot: Snapshot) -> bytes:
    row = _row(replace(snapshot, queued=()))
    row[_QUEUED] = _shapes_and_members(snapshot.queued)
    return _pack(row)


def decode_snapshot(data: bytes) -> Snapshot:
    values = _unpack(data)
    row = dict(zip((f.name for f in fields(Snapshot)), values, strict=True))
    row["policy"] = Policy(*row["policy"])
    row["total"], row["allocated"] = Resources(*row["total"]), Resources(*row["allocated"])
    row["classes"] = tuple(PriorityClass(*each) for each in row["classes"])
    row["nodes"] = _each(
        Node, row["nodes"], capacity=_resources, allocated=_resources, labels=_labels
    )
    row["running"] = _each(Running, row["running"], request=_resources, placement=_placements)
    row["queued"] = _workloads(*row["queued"])
    return Snapshot(**row)


def encode_plan(plan: Plan) -> bytes:
    return _pack(_row(plan))


def decode_plan(data: bytes) -> Plan:
    starts, evictions, waits, unfinished = _unpack(data)
    return Plan(
        _each(
            Start,
            starts,
            placement=_placements,
            victims=tuple,
            alternative=tuple,
            withheld=_withheld,
        ),
        _each(Eviction, evictions, reason=_reason),
        _each(Wait, waits, reason=_reason),
        unfinished,
    )


_QUEUED = [field.name for field in fields(Snapshot)].index("queued")


def _shapes_and_members(queued: tuple[Workload, ...]) -> list[Any]:
    """What equal workloads share, said once; and (shape, id, times) of each."""
    shapes: dict[tuple[Any, ...], int] = {}
    members = []
    for each in queued:
        shared = (
            each.scheduling_key,
            each.priority,
            each.request,
            each.replicas,
            each.selector,
            each.limit_s,
        )
        shape = shapes.setdefault(shared, len(shapes))
        members.append((shape, each.id, each.submitted_ms, each.queued_ms))
    return [list(shapes), members]


def _workloads(shapes: list[Any], members: list[Any]) -> tuple[Workload, ...]:
    shared = [
        (key, priority, Resources(*request), replicas, _labels(selector), limit_s)
        for key, priority, request, replicas, selector, limit_s in shapes
    ]
    made = []
    for shape, id_, submitted_ms, queued_ms in members:
        key, priority, request, replicas, selector, limit_s = shared[shape]
        made.append(
            Workload(
                id_, key, priority, request, replicas, submitted_ms, queued_ms, selector, limit_s
            )
        )
    return tuple(made)


def _row(value: Any) -> Any:
    """Dataclasses become arrays of their fields' values, all the way down."""
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, tuple):
        return [_row(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return [_row(getattr(value, name)) for name in value.__dataclass_fields__]
    return value


def _pack(row: Any) -> bytes:
    text = json.dumps([FORMAT, row], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return zlib.compress(text.encode(), level=1)


def _unpack(data: bytes) -> Any:
    try:
        version, row = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError, TypeError) as error:
        raise UnreadableLedgerError(str(error)) from error
    if version != FORMAT:
        raise UnreadableLedgerError(f"format {version}; this version reads {FORMAT}")
    return row


def _each(kind: Any, rows: Iterable[list[Any]], **shape: Callable[[Any], Any]) -> tuple[Any, ...]:
    names = [f.name for f in fields(kind)]
    made = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        for name, parse in shape.items():
            values[name] = parse(values[name])
        made.append(kind(**values))
    return tuple(made)


def _resources(row: list[int]) -> Resources:
    return Resources(*row)


def _placements(rows: list[list[Any]]) -> tuple[Placement, ...]:
    return tuple(Placement(*row) for row in rows)


def _labels(rows: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in rows)


def _withheld(rows: list[list[Any]]) -> tuple[tuple[str | None, Resources], ...]:
    return tuple((node_id, Resources(*amount)) for node_id, amount in rows)


def _reason(row: list[Any]) -> Reason:
    code, details = row
    return Reason(Code(code), details)
