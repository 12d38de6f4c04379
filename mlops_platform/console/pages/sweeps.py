"""A sweep as lists show it: one row with a bar."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts.models import User
from deployments.models import ENDED, Status, Sweep
from deployments.queries.sweeps import Progress, progress_of

TONES = {
    Status.COMPLETED: "done",
    Status.FAILED: "bad",
    Status.STOPPED: "quiet",
    Status.RUNNING: "good",
    Status.STARTING: "busy",
    Status.STOPPING: "busy",
    Status.QUEUED: "waiting",
}


class SweepRow(NamedTuple):
    """A sweep as one row: how many of its members are in which status, in words and as a bar."""

    id: UUID
    name: str
    status: str
    owner: str
    is_mine: bool
    cluster: str
    counts: str
    bar: list[tuple[str, float]]
    submitted_at: datetime

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def sweep_rows(user: User, sweeps: Sequence[Sweep]) -> list[SweepRow]:
    """In their order. One query, none for no sweep."""
    progress = progress_of(sweeps)
    return [_sweep_row(user, each, progress[each.pk]) for each in sweeps]


def _sweep_row(user: User, sweep: Sweep, progress: Progress) -> SweepRow:
    counts = dict(progress.counts)
    known_ended = sum(counts.get(each, 0) for each in ENDED)
    if gone := progress.ended - known_ended:  # the retention has deleted them
        counts[Status.COMPLETED] = counts.get(Status.COMPLETED, 0) + gone
    in_order = [(status, counts[status]) for status in TONES if counts.get(status)]
    return SweepRow(
        id=sweep.pk,
        name=sweep.name,
        status=progress.status,
        owner=sweep.owner.username,
        is_mine=sweep.owner_id == user.pk,
        cluster=sweep.cluster.name,
        counts=", ".join(f"{count} {status.lower()}" for status, count in in_order),
        bar=[(TONES[status], count / progress.size) for status, count in in_order],
        submitted_at=sweep.created_at,
    )
