"""Whether the scheduler is at work: when a timer last took a turn, and when a worker last answered.

Both are read from what they write for other reasons, so that nothing has to notice that they have
ended: a timer moves a periodic job on every other second, and the worker that has run it says so in
the job's row. What no worker has taken, since it is frozen, killed or cut off from Redis, shows
there, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import CharField, Exists, JSONField, Max, QuerySet, UUIDField, Value
from django.db.models.functions import Cast, Now
from redis.exceptions import RedisError

from clusters.models import Cluster
from mlops_platform.coordination.presence import seen_workers
from mlops_platform.database.clock import database_now
from scheduler.models import PeriodicJob
from scheduler.timer.jobs import JOBS
from scheduler.wakeup import QUEUE

LATE_S = 10.0  # five periods of the most frequent job
_PERIODS = {job.name: timedelta(seconds=job.every_s) for job in JOBS}


@dataclass(frozen=True)
class Freshness:
    """By the database's clock. None: there is no trace of it."""

    now: datetime
    timer_at: datetime | None
    worker_at: datetime | None

    @property
    def is_timer_late(self) -> bool:
        return self._is_late(self.timer_at)

    @property
    def is_worker_late(self) -> bool:
        return self._is_late(self.worker_at)

    @property
    def problems(self) -> list[str]:
        """A sentence for each of the two that is late."""
        found = []
        if self.is_worker_late:
            found.append(f"{_since('No worker has answered', self.worker_at)}: nothing is started.")
        if self.is_timer_late:
            found.append(
                f"{_since('No timer has taken a turn', self.timer_at)}: nothing ends by the clock, "
                "and what is lost is not asked for again."
            )
        return found

    def _is_late(self, at: datetime | None) -> bool:
        return at is None or self.now - at > timedelta(seconds=LATE_S)


def _since(what: str, at: datetime | None) -> str:
    return f"{what} yet" if at is None else f"{what} since {at:%F %T} UTC"


def read() -> Freshness:
    """Two queries. Where a worker seems late, one more, and where a timer is late as well, a round
    trip to Redis: without a timer a worker that nothing is asked of is not late for that."""
    jobs = list(PeriodicJob.objects.values_list("name", "next_at", "ran_at"))
    now = database_now()
    claims = [next_at - _PERIODS[name] for name, next_at, _ in jobs if name in _PERIODS]
    found = Freshness(now, _last(claims, now), _last((ran_at for *_, ran_at in jobs), now))
    if not found.is_worker_late:
        return found
    cycle_at = Cluster.with_deleted.aggregate(at=Max("evaluated_at"))["at"]
    beat_at = _last_beat(now) if found.is_timer_late else None
    return replace(found, worker_at=_last((found.worker_at, cycle_at, beat_at), now))


def silent_since() -> datetime | None:
    """Since when the scheduler has not answered; None while it does, and before it ever did."""
    found = read()
    return found.worker_at if found.is_worker_late else None


def late_rows(columns: Sequence[str]) -> QuerySet[Any, Any]:
    """Rows where no job has run lately, to be united with a query of reasons: so the question costs
    no query of its own while the scheduler answers. The columns are those of WaitReason, and their
    code is empty."""
    late = timedelta(seconds=LATE_S)
    fresh = PeriodicJob.objects.filter(ran_at__gt=Now() - late, ran_at__lt=Now() + late)
    rows = PeriodicJob.objects.filter(~Exists(fresh), ran_at__isnull=False)
    nothing = {
        "deployment_id": Cast(Value(None), UUIDField()),
        "cluster_id": Cast(Value(None), UUIDField()),
        "scheduling_key": Cast(Value(""), CharField()),
        "code": Cast(Value(""), CharField()),
        "details": Cast(Value("{}"), JSONField()),
    }
    return rows.annotate(**nothing).values_list(*columns)


def _last(moments: Iterable[datetime | None], now: datetime) -> datetime | None:
    """The last of them. Those in the future are of before the database's clock was put back."""
    latest = now + timedelta(seconds=LATE_S)
    return max((at for at in moments if at is not None and at < latest), default=None)


def _last_beat(now: datetime) -> datetime | None:
    try:
        ages = [each.age_s for each in seen_workers() if QUEUE in each.queues]
    except RedisError:
        return None
    return now - timedelta(seconds=min(ages)) if ages else None
