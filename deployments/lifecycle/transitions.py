"""What every end has in common: the row closes, its capacity is free, its dependents are told.

Where something really runs, an end is asked for first (`begin_stopping`), and written down once the
runtime has confirmed that it is gone. All of this happens under the cluster's lock.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value

from clusters.allocation import Held, move
from deployments.lifecycle import dependents
from deployments.models import ENDED, HOLDING, Deployment, Status


class OvertakenError(Exception):
    """A row was no longer as it had been read; whoever wrote first has won, so read again."""


def end(
    cluster_id: UUID, rows: Sequence[Deployment], now: datetime, *, status: Status, **columns: Any
) -> None:
    """Close rows of one cluster, whose lock the caller holds, and free what they held.

    `columns` say what else there is to tell. Those that depend on them are let go, or fail. Three
    queries (dependents.settled may take more); raises OvertakenError where a row has ended since
    it was read.
    """
    ids = [row.pk for row in rows]
    going_on = Deployment.objects.filter(pk__in=ids).exclude(status__in=ENDED)
    if going_on.update(status=status, **closing(now), **columns) != len(rows):
        raise OvertakenError
    release(cluster_id, rows, now)
    dependents.settled(cluster_id, ids, status, now)


def begin_stopping(
    rows: Sequence[Deployment], now: datetime, *, next_status: Status, **columns: Any
) -> None:
    """Ask what runs to end within its grace; it keeps what it holds until it is gone.

    Whoever calls wakes the runtime (wakeup.py) after the commit. One query; raises OvertakenError
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


def requeue(cluster_id: UUID, rows: Sequence[Deployment], now: datetime, **columns: Any) -> None:
    """Back into the queue, at the old submit time; what was held is free. Two queries or three."""
    ids = [row.pk for row in rows]
    holding = Deployment.objects.filter(pk__in=ids, status__in=HOLDING)
    waiting: dict[str, Any] = {**_gone(), "started_at": None, "checkpoint_at": None}
    if holding.update(status=Status.QUEUED, queued_at=now, **waiting, **columns) != len(rows):
        raise OvertakenError
    release(cluster_id, rows, now)


def release(cluster_id: UUID, rows: Iterable[Deployment], now: datetime) -> None:
    """Give back what rows held, as they were read.

    An evicted row has no allocation, but its node may have waited for its end
    (clusters/node_changes.py).
    """
    held = Held()
    for row in rows:
        if row.status in HOLDING:
            for place in row.placement:
                times = 0 if row.yielded else -place["replicas"]
                amounts = (row.cpu_milli * times, row.ram_mib * times, row.gpu * times)
                held.add(place["node_id"], amounts)
    if held.by_node:
        move(cluster_id, held, changed_at=now)


def closing(now: datetime) -> dict[str, Any]:
    """The columns that every end sets."""
    return {"finished_at": now, "retry_at": None, **_gone()}


def _gone() -> dict[str, Any]:
    """The columns of whoever is placed nowhere any more."""
    return {
        "placement": [],
        "due_at": None,
        "next_status": "",
        "yielded": False,
        "stop_by": None,
        "stop_told_at": None,
    }
