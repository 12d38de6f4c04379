"""Replaying the ledger: the same snapshot must give the very same plan, bit for bit."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from scheduler.engine import ENGINE_VERSION, Plan, make_plan
from scheduler.engine.codec import (
    OtherFormatError,
    UnreadableLedgerError,
    canonical,
    decode_plan,
    decode_snapshot,
    encode_plan,
)
from scheduler.models import SchedulingCycle

CHUNK = 20  # a snapshot may have megabytes
MOST_DIFFERENCES = 50  # differences of one cycle


class Verdict(Enum):
    SAME = "the same plan"
    DIFFERENT = "another plan"
    DAMAGED = "damaged"
    OTHER_VERSION = "of another version"


@dataclass(frozen=True, slots=True)
class Replayed:
    """`details` say why it could not be compared, or what differs, a line each."""

    cycle_id: UUID
    verdict: Verdict
    details: list[str]


def cycles(
    *, cluster: UUID | None = None, since: datetime | None = None
) -> QuerySet[SchedulingCycle]:
    """Oldest first."""
    found = SchedulingCycle.objects.order_by("started_at", "id")
    if cluster is not None:
        found = found.filter(cluster=cluster)
    return found if since is None else found.filter(started_at__gte=since)


def replay_all(found: QuerySet[SchedulingCycle]) -> Iterator[Replayed]:
    """However many: a few rows at a time are in memory."""
    rows = found.only("id", "engine_version", "snapshot", "plan")
    return (replay(row) for row in rows.iterator(chunk_size=CHUNK))


def replay(cycle: SchedulingCycle) -> Replayed:
    """Plan again what the cycle saw, and compare with what it decided."""
    if cycle.engine_version != ENGINE_VERSION:
        why = f"engine version {cycle.engine_version}; this is {ENGINE_VERSION}"
        return Replayed(cycle.pk, Verdict.OTHER_VERSION, [why])
    try:
        snapshot, recorded = decode_snapshot(bytes(cycle.snapshot)), bytes(cycle.plan)
        before = decode_plan(recorded)
    except OtherFormatError as error:
        return Replayed(cycle.pk, Verdict.OTHER_VERSION, [str(error)])
    except UnreadableLedgerError as error:
        return Replayed(cycle.pk, Verdict.DAMAGED, [str(error)])
    try:
        now = make_plan(snapshot)
    except Exception as error:  # whatever it is, the cycle that was recorded had a plan
        return Replayed(cycle.pk, Verdict.DIFFERENT, [f"the planner fails: {error!r}"])
    if canonical(encode_plan(now)) == canonical(recorded):
        return Replayed(cycle.pk, Verdict.SAME, [])
    return Replayed(cycle.pk, Verdict.DIFFERENT, differences(before, now))


def differences(before: Plan, now: Plan) -> list[str]:
    """Start by start, eviction by eviction, wait by wait; `-` was recorded, `+` is planned now."""
    lines: list[str] = []
    for kind in ("starts", "evictions", "waits"):
        old, new = _by_name(kind, getattr(before, kind)), _by_name(kind, getattr(now, kind))
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                lines += [f"- {kind}: {old[name]}"] if name in old else []
                lines += [f"+ {kind}: {new[name]}"] if name in new else []
        common = [name for name in old if name in new]
        if common != [name for name in new if name in old]:
            lines.append(f"  {kind}: the same ones in another order")
    for name in ("unfinished", "reserved_for"):
        old_value, new_value = getattr(before, name), getattr(now, name)
        if old_value != new_value:
            lines += [f"- {name}: {old_value}", f"+ {name}: {new_value}"]
    if not lines:
        lines = ["the plans are equal, and written down differently"]
    if len(lines) > MOST_DIFFERENCES:
        lines = [*lines[:MOST_DIFFERENCES], f"and {len(lines) - MOST_DIFFERENCES} lines more"]
    return lines


def _by_name(kind: str, rows: tuple[Any, ...]) -> dict[str, str]:
    """Each row as text, by what names it."""
    named = {}
    for row in rows:
        name = row.workload_id
        if kind == "waits":
            name = f"{row.scheduling_key} {row.workload_id}"
        values = {key: value for key, value in asdict(row).items() if value not in ((), None)}
        named[name] = " ".join(f"{key}={value}" for key, value in values.items())
    return named
