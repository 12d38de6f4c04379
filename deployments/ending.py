"""What every end has in common: the row closes, its capacity is free, its dependents are told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from clusters.capacity import Held, move
from deployments import dependencies
from deployments.models import ENDED, HOLDING, Deployment, Status


class OvertakenError(Exception):
    """A row was no longer as it had been read; whoever wrote first has won, so read again."""


def end(
    cluster_id: UUID, rows: Sequence[Deployment], now: datetime, *, status: Status, **columns: Any
) -> None:
    """Close rows of one cluster, whose lock the caller holds, and free what they held.

    `columns` say what else there is to tell. Those that depend on them are let go, or fail. Three
    queries (dependencies.settled may take more); raises OvertakenError where a row has ended since
    it was read.
    """
    ids = [row.pk for row in rows]
    going_on = Deployment.objects.filter(pk__in=ids).exclude(status__in=ENDED)
    if going_on.update(status=status, **closing(now), **columns) != len(rows):
        raise OvertakenError
    held = Held()
    for row in rows:
        if row.status in HOLDING:
            for place in row.placement:
                times = -place["replicas"]
                amounts = (row.cpu_milli * times, row.ram_mib * times, row.gpu * times)
                held.add(place["node_id"], amounts)
    if held.by_node:
        move(cluster_id, held, changed_at=now)
    dependencies.settled(cluster_id, ids, status, now)


def closing(now: datetime) -> dict[str, Any]:
    """The columns that every end sets."""
    return {"finished_at": now, "placement": [], "due_at": None}
