"""What every end has in common: the row closes, its capacity is free, its timeline tells."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from clusters.capacity import Held, move
from deployments.models import ENDED, HOLDING, Deployment


class OvertakenError(Exception):
    """A row was no longer as it had been read; whoever wrote first has won, so read again."""


def end(cluster_id: UUID, rows: Sequence[Deployment], now: datetime, **columns: Any) -> None:
    """Close rows of one cluster, whose lock the caller holds, and free what they held.

    `columns` say how they ended (`status`, ...). Two queries; raises OvertakenError where a row has
    ended since it was read.
    """
    going_on = Deployment.objects.filter(pk__in=[row.pk for row in rows]).exclude(status__in=ENDED)
    if going_on.update(**closing(now), **columns) != len(rows):
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


def closing(now: datetime) -> dict[str, Any]:
    """The columns that every end sets."""
    return {"finished_at": now, "placement": [], "due_at": None}
