"""Snapshots and plans as canonical JSON, deflated: what the ledger keeps and replay compares.

Canonical: rows as arrays in the order of their fields, sorted keys in objects, no white space. The
same value always gives the same bytes. Fields that matter only to some clusters (owners, their
allocations and quotas, services, preemptions, reservations, images, drains at checkpoints, sweeps,
windows) come last, and are left out where they have their default: rows from before a field existed
are read the same way.
"""

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

from scheduler.engine.plan import Eviction, Plan, Start, Wait
from scheduler.engine.reasons import Code, Reason
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import (
    NEVER,
    LocalImage,
    Node,
    Placement,
    Policy,
    PriorityClass,
    ReservationRecord,
    Running,
    Snapshot,
    SweepLimit,
    Window,
    Workload,
)

FORMAT = 3
# The defaults of the last fields, which are left out.
_SNAPSHOT_ENDS: list[Any] = [[], [], [], 0, [], [], []]
_POLICY_ENDS: list[Any] = [NEVER, 0, 0, 0, 14_400]
_NODE_ENDS: list[Any] = [None]
_WORKLOAD_ENDS: list[Any] = ["", False, 0, "", ""]
_RUNNING_ENDS: list[Any] = ["", False, None, False, ""]
_PLAN_ENDS: list[Any] = [None, None]
_START_ENDS: list[Any] = [False, False, None]
_Made = TypeVar("_Made")


class UnreadableLedgerError(Exception):
    """Bytes that this version did not write."""


class OtherFormatError(UnreadableLedgerError):
    """Sound bytes in a format that another version wrote."""


def encode_snapshot(snapshot: Snapshot) -> bytes:
    row = _row(replace(snapshot, queued=()))
    row[_QUEUED] = _shapes_and_members(snapshot.queued)
    row[_POLICY] = _without_ends(row[_POLICY], _POLICY_ENDS)
    row[_NODES] = [_without_ends(each, _NODE_ENDS) for each in row[_NODES]]
    row[_RUNNING] = [_without_ends(each, _RUNNING_ENDS) for each in row[_RUNNING]]
    return _pack(_without_ends(row, _SNAPSHOT_ENDS))


def _without_ends(row: list[Any], ends: list[Any]) -> list[Any]:
    """The row without its last values, as far as they are the defaults `ends`."""
    for end in reversed(ends):
        if row[-1] != end:
            break
        row = row[:-1]
    return row


def _with_ends(row: list[Any], ends: list[Any], length: int) -> list[Any]:
    return [*row, *ends[len(ends) - length + len(row) :]]


def canonical(data: bytes) -> bytes:
    """The canonical JSON itself: another version of zlib may deflate it to other bytes."""
    return zlib.decompress(data)


def decode_snapshot(data: bytes) -> Snapshot:
    """Raises UnreadableLedgerError, as `decode_plan` does."""
    return _reading(_snapshot, data)


def _snapshot(values: Any) -> Snapshot:
    values = _with_ends(values, _SNAPSHOT_ENDS, len(fields(Snapshot)))
    row = dict(zip((f.name for f in fields(Snapshot)), values, strict=True))
    row["policy"] = Policy(*row["policy"])
    row["total"], row["allocated"] = Resources(*row["total"]), Resources(*row["allocated"])
    row["classes"] = tuple(PriorityClass(*each) for each in row["classes"])
    length = len(fields(Node))
    nodes = (_with_ends(each, _NODE_ENDS, length) for each in row["nodes"])
    row["nodes"] = _each(Node, nodes, capacity=_resources, allocated=_resources, labels=_labels)
    length = len(fields(Running))
    running = (_with_ends(each, _RUNNING_ENDS, length) for each in row["running"])
    row["running"] = _each(Running, running, request=_resources, placement=_placements)
    for name in ("allocated_by_owner", "quotas"):
        row[name] = _by_owner(row[name])
    row["local_images"] = _each(LocalImage, row["local_images"], workload_ids=tuple, nodes=tuple)
    row["sweeps"] = _each(SweepLimit, row["sweeps"])
    row["windows"] = _each(Window, row["windows"], node_ids=tuple, closed_ids=tuple)
    row["reservation_history"] = _each(ReservationRecord, row["reservation_history"])
    row["queued"] = _workloads(*row["queued"])
    return Snapshot(**row)


def _by_owner(rows: list[list[Any]]) -> tuple[tuple[str, Resources], ...]:
    return tuple((owner, Resources(*amount)) for owner, amount in rows)


def encode_plan(plan: Plan) -> bytes:
    """`reserved_for` is null for none, an id for one and an array for more: there is most often one
    at most, and in rows from before there could be more there always is."""
    ids = plan.reserved_for
    reserved_for = list(ids) if len(ids) > 1 else next(iter(ids), None)
    starts, *others, _, due_ms = _row(plan)
    starts = [_without_ends(each, _START_ENDS) for each in starts]
    return _pack(_without_ends([starts, *others, reserved_for, due_ms], _PLAN_ENDS))


def decode_plan(data: bytes) -> Plan:
    return _reading(_plan, data)


def _plan(values: Any) -> Plan:
    starts, evictions, waits, unfinished, reserved_for, due_ms = _with_ends(
        values, _PLAN_ENDS, len(fields(Plan))
    )
    return Plan(
        _each(
            Start,
            (_with_ends(each, _START_ENDS, len(fields(Start))) for each in starts),
            placement=_placements,
            victims=tuple,
            alternative=tuple,
            withheld=_withheld,
            given=_given,
        ),
        _each(Eviction, evictions, reason=_reason),
        _each(Wait, waits, reason=_reason),
        unfinished,
        (reserved_for,) if isinstance(reserved_for, str) else tuple(reserved_for or ()),
        due_ms,
    )


_QUEUED, _RUNNING, _POLICY, _NODES = (
    [f.name for f in fields(Snapshot)].index(n) for n in ("queued", "running", "policy", "nodes")
)


def _shapes_and_members(queued: tuple[Workload, ...]) -> list[Any]:
    """What equal workloads share, once; and (shape, id, times) of each."""
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
            *_without_ends(
                [each.owner, each.endless, each.preemptions, each.whole, each.sweep],
                _WORKLOAD_ENDS,
            ),
        )
        shape = shapes.setdefault(shared, len(shapes))
        members.append((shape, each.id, each.submitted_ms, each.queued_ms))
    return [list(shapes), members]


def _workloads(shapes: list[Any], members: list[Any]) -> tuple[Workload, ...]:
    shared = [
        (key, priority, Resources(*request), replicas, _labels(selector), limit_s, *more)
        for key, priority, request, replicas, selector, limit_s, *more in shapes
    ]
    made = []
    for shape, id_, submitted_ms, queued_ms in members:
        key, priority, request, replicas, selector, limit_s, *more = shared[shape]
        made.append(
            Workload(
                id_,
                key,
                priority,
                request,
                replicas,
                submitted_ms,
                queued_ms,
                selector,
                limit_s,
                *more,
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


def _reading(made_of: Callable[[Any], _Made], data: bytes) -> _Made:
    values = _unpack(data)
    try:
        return made_of(values)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UnreadableLedgerError(f"not what a plan or snapshot is made of: {error}") from error


def _unpack(data: bytes) -> Any:
    try:
        version, row = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError, TypeError) as error:
        raise UnreadableLedgerError(str(error)) from error
    if version != FORMAT:
        raise OtherFormatError(f"format {version}; this version reads {FORMAT}")
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


def _given(row: list[int] | None) -> Resources | None:
    return None if row is None else Resources(*row)


def _reason(row: list[Any]) -> Reason:
    code, details = row
    return Reason(Code(code), details)
