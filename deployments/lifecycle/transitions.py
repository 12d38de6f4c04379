"""Moves rows to STOPPING, to an end, or back into the queue, and moves the counters with them.

An end closes the row, frees its allocation and updates its dependents. In a real runtime a
deployment stops first (`begin_stopping`), and ends once the runtime shows that its replicas have
ended. All of this happens under the cluster's lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value
from django.db.models.functions import Now

from clusters.allocation import AllocationChange, move
from deployments.lifecycle import dependents
from deployments.models import ENDED, PLACED, Deployment, Kind, Status
from deployments.reasons import codes
from deployments.usage import intervals
from deployments.usage.intervals import Ended
from deployments.usage.models import Outcome
from deployments.whole_nodes import ASKED

_OF_ENDS = {
    Status.COMPLETED: Outcome.COMPLETED,
    Status.FAILED: Outcome.FAILED,
    Status.STOPPED: Outcome.STOPPED,
}
_OF_REASONS = {
    "NODE_DRAINED": Outcome.EVICTED,
    codes.NODE_LOST: Outcome.LOST,
    codes.CONTAINER_LOST: Outcome.LOST,
}
"""Of attempts after which a deployment waits again: any other reason is a failure."""

_NOT_PLACED: dict[str, Any] = {
    "placement": [],
    "due_at": None,
    "next_status": "",
    "yielded": False,
    "stop_by": None,
    "stop_told_at": None,
}
"""The columns of a row that is not placed any more."""


class OvertakenError(Exception):
    """Another transaction has changed a row since it was read: read again."""


def end(
    rows: Sequence[Deployment],
    now: datetime,
    *,
    status: Status,
    finished_at: datetime | None = None,
    when_due: bool = False,
    **columns: Any,
) -> None:
    """End rows, free their allocations, and let their dependents go, or fail.

    They ended at `finished_at` or, with `when_due`, each when it was due; else now. The caller has
    the locks of their clusters. `columns` are set as well. Four queries or five, and those of
    `update_dependents`; raises OvertakenError where a row has ended since it was read.
    """
    at = finished_at or now
    ends = {row.pk: (row.due_at if when_due else None) or at for row in rows}
    not_ended = Deployment.objects.filter(pk__in=list(ends)).exclude(status__in=ENDED)
    closed = {**closing(at), **({"finished_at": F("due_at")} if when_due else {})}
    if not_ended.update(status=status, **closed, **columns) != len(rows):
        raise OvertakenError
    release(rows, dict.fromkeys(ends, _OF_ENDS[status]), now)
    if waited := [row.pk for row in rows if row.status == Status.QUEUED]:
        intervals.end_waiting(waited, _OF_ENDS[status])
    dependents.update_dependents(ends, status)


def begin_stopping(
    rows: Sequence[Deployment], now: datetime, *, next_status: Status, **columns: Any
) -> None:
    """Have running rows stop within their grace; they stay allocated until they have ended.

    The caller wakes the runtime (wakeup.py) after the commit. One query; raises OvertakenError
    where a row does not run any more.
    """
    grace = ExpressionWrapper(F("grace_s") * Value(timedelta(seconds=1)), DurationField())
    running = Deployment.objects.filter(
        pk__in=[row.pk for row in rows], status__in=(Status.STARTING, Status.RUNNING)
    )
    changed = running.update(
        status=Status.STOPPING,
        next_status=next_status,
        stop_by=ExpressionWrapper(Value(now) + grace, DateTimeField()),
        stop_told_at=None,
        due_at=None,
        **columns,
    )
    if changed != len(rows):
        raise OvertakenError


def requeue(rows: Sequence[Deployment], now: datetime, **columns: Any) -> None:
    """Put rows back into the queue at their submit time, and free them. Three queries or four, and
    one more where any took whole nodes."""
    ids = [row.pk for row in rows]
    placed = Deployment.objects.filter(pk__in=ids, status__in=PLACED)
    waiting: dict[str, Any] = {**_NOT_PLACED, "started_at": None, "checkpoint_at": None}
    if placed.update(status=Status.QUEUED, queued_at=now, **waiting, **columns) != len(rows):
        raise OvertakenError
    reasons = {row.pk: columns.get("reason_code", row.reason_code) for row in rows}
    release(
        rows, {id_: _OF_REASONS.get(code, Outcome.FAILED) for id_, code in reasons.items()}, now
    )
    ask_again([row for row in rows if row.whole])


def ask_again(rows: Sequence[Deployment]) -> None:
    """Have deployments that took whole nodes, and wait now, ask for what they asked for before
    their start. One query, none for no rows."""
    for row in rows:
        row.cpu_milli, row.ram_mib, row.gpu = row.asked
        row.whole = {name: value for name, value in row.whole.items() if name != ASKED}
    if rows:
        Deployment.objects.bulk_update(rows, ["cpu_milli", "ram_mib", "gpu", "whole"])


def release(rows: Iterable[Deployment], outcomes: Mapping[UUID, Outcome], now: datetime) -> None:
    """Free the allocations of rows, as they were read, and record for each, by id, what came of it.

    A row that has yielded has no allocation, but its node may have waited for its end
    (clusters/services/node_changes.py).
    """
    freed: dict[UUID, AllocationChange] = {}
    ended: list[Ended] = []
    for row in rows:
        if row.status in PLACED:
            if not row.yielded:
                outcome = outcomes[row.pk]
                ended.append(Ended(row.pk, outcome, row.checkpoint_at, row.kind == Kind.SERVICE))
            of_cluster = freed.setdefault(row.cluster_id, AllocationChange())
            for each in row.placement:
                times = 0 if row.yielded else -each["replicas"]
                amounts = (row.cpu_milli * times, row.ram_mib * times, row.gpu * times)
                of_cluster.add(each["node_id"], amounts)
    if freed:
        move(freed, changed_at=now)
        intervals.end(ended, now)


def closing(finished_at: datetime | Now) -> dict[str, Any]:
    """The columns that every end sets."""
    return {"finished_at": finished_at, "retry_at": None, **_NOT_PLACED}
