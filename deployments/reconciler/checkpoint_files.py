"""Moves the checkpoint of what runs to the time of its `checkpoint_file`, as a report would.

The newest file of all replicas counts: mostly one of them saves for all.
"""

from collections.abc import Sequence
from datetime import datetime

from deployments.models import Deployment, Status
from deployments.reconciler.observation import Observation, Replica, in_parallel
from deployments.runtimes import limits
from deployments.runtimes.base import Phase, RuntimeUnavailable
from deployments.services.checkpoint import move_checkpoint
from mlops_platform.coordination.redis import redis_client

EVERY_S = 30  # between two looks at a container, whichever worker takes them
FAILED_S = 300  # after a look that its endpoint has not answered
LOOK_S = 5.0  # for the looks of one pass

Observed = tuple[Deployment, list[Replica]]


def look(observation: Observation, observed: Sequence[Observed], now: datetime) -> None:
    """Read the times of the files that are due, and write those that are news."""
    due = _take_due([each for each in observed if _has_file(each[0])])
    if not due:
        return
    with limits.within(LOOK_S):
        found = in_parallel("checkpoint", lambda each: _newest(observation, *each), due)
    for (row, _), at in zip(due, found, strict=True):
        if at is not None and at > (row.checkpoint_at or at.min.replace(tzinfo=at.tzinfo)):
            move_checkpoint(row.pk, at, now)


def _has_file(row: Deployment) -> bool:
    return row.status == Status.RUNNING and bool(row.container.get("checkpoint_file"))


def _take_due(observed: Sequence[Observed]) -> list[Observed]:
    """Those whose last look is long enough ago. One round trip, none without any."""
    if not observed:
        return []
    pipeline = redis_client().pipeline(transaction=False)
    for row, _ in observed:
        pipeline.set(_key(row), 1, nx=True, ex=EVERY_S)
    taken = pipeline.execute()
    return [each for each, is_due in zip(observed, taken, strict=True) if is_due]


def _newest(observation: Observation, row: Deployment, replicas: list[Replica]) -> datetime | None:
    times = []
    for each in replicas:
        runtime, status = observation.runtime_of(each.node), each.status
        if runtime is None or status is None or status.phase != Phase.RUNNING or limits.is_over():
            continue
        try:
            at = runtime.touched_at(status.key, row.container["checkpoint_file"], status.id)
        except RuntimeUnavailable:  # as where its volume's server is away: it runs all the same
            redis_client().set(_key(row), 1, ex=FAILED_S)
            continue
        if at is not None:
            times.append(at)
    return max(times, default=None)


def _key(row: Deployment) -> str:
    return f"deployment:{row.pk}:checkpoint-look:{row.attempt}"
