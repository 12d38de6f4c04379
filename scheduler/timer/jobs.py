"""The periodic jobs. A new one is a line in JOBS; its task needs no argument. What is one short
statement, and must not wait for a worker, a timer runs by itself.

The row of a job says when it is due next. A timer that finds it due moves it on in one statement,
so of any number of timers one asks for it. A flag in Redis keeps messages from piling up while no
worker takes them.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from celery import current_app
from django.db import connection
from django.db.models.functions import Now
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from scheduler.models import PeriodicJob
from scheduler.samples import taking

RUN = "scheduler.tasks.run_job"
FLAG = "job:{}:wanted"  # with a job's name
LOCK = "job:{}:running"
SHORTEST_FLAG_S = 10  # a lost message delays a job by this much, or by one period if that is longer
AGAIN_S = 5  # a job that Redis did not take is asked for again after so long


class Job(NamedTuple):
    """`here`: the timer runs it by itself, in place of a task of that name."""

    name: str
    task: str
    every_s: int
    here: Callable[[], None] | None = None


HOUR_S = 3600
JOBS = (
    Job("look-for-unanswered", "scheduler.tasks.look_for_unanswered", 2),
    Job("dispatch-webhooks", "deployments.tasks.dispatch_webhooks", 2),
    Job("check-queues", "scheduler.tasks.check_queues", 2),
    Job("request-forecasts", "scheduler.tasks.request_forecasts", 5),
    Job("sweep", "scheduler.tasks.sweep", 10),
    Job("resume-deletions", "clusters.tasks.resume_deletions", 15),
    Job("look-everywhere", "deployments.tasks.look_everywhere", 15),
    Job("fail-impossible", "scheduler.tasks.fail_impossible", 30),
    Job("send-invitations", "organizations.tasks.request_unsent", 60),
    Job("take-samples", "", 60, taking.take),
    Job("measure-database", "scheduler.tasks.measure_database", HOUR_S),
    Job("request-audit", "scheduler.tasks.request_audit", 6 * HOUR_S),
    Job("sum-usage", "deployments.tasks.sum_usage", 60),
    Job("request-retention", "scheduler.tasks.request_retention", HOUR_S),
)

# A job is due as well if its row is missing, or lies further ahead than its period: the database's
# clock has been put back since. Another timer's claim, which may be a little younger than this one,
# is not meant by that. An overdue job is due once, however many periods it has missed.
_CLAIM = """
WITH wanted AS (
    SELECT name, statement_timestamp() + every_s * interval '1 second' AS next_at
      FROM unnest(%(names)s::text[], %(periods)s::int[]) AS job(name, every_s))
INSERT INTO scheduler_periodicjob AS job (name, next_at)
SELECT wanted.name, wanted.next_at
  FROM wanted LEFT JOIN scheduler_periodicjob known USING (name)
 WHERE known.name IS NULL
    OR known.next_at NOT BETWEEN statement_timestamp() AND wanted.next_at + interval '5 seconds'
 ORDER BY wanted.name
    ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at
 WHERE job.next_at NOT BETWEEN statement_timestamp() AND excluded.next_at + interval '5 seconds'
RETURNING job.name
"""

_AGAIN = """
UPDATE scheduler_periodicjob
   SET next_at = statement_timestamp() + least(%(again_s)s, %(every_s)s) * interval '1 second'
 WHERE name = %(name)s
"""


def claim_due() -> list[Job]:
    """The jobs that are due, each for one caller. One query."""
    params: dict[str, Any] = {
        "names": [job.name for job in JOBS],
        "periods": [job.every_s for job in JOBS],
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, params)
        due = {name for (name,) in cursor.fetchall()}
    return [job for job in JOBS if job.name in due]


def ask_for(job: Job) -> None:
    """Send the job's message, unless one is on its way. Raises where Redis is away, and the job is
    due again soon. One that timers run by themselves is run."""
    if job.here is not None:
        job.here()
        return
    # One second less than a period, so that the next claim finds it gone.
    flag, lasts_s = FLAG.format(job.name), max(job.every_s, SHORTEST_FLAG_S) - 1
    try:
        if redis_client().set(flag, "1", nx=True, ex=lasts_s):
            current_app.send_task(RUN, (job.name,))
    except (RedisError, OperationalError, OSError):
        with suppress(RedisError):
            redis_client().delete(flag)
        params: dict[str, Any] = {"name": job.name, "every_s": job.every_s, "again_s": AGAIN_S}
        with connection.cursor() as cursor:
            cursor.execute(_AGAIN, params)
        raise


def run(name: str) -> None:
    """Run the job here, unless another worker runs it or has run it already. Its row says when it
    ran, as freshness.py reads it."""
    for job in _named(name):
        with try_lock(LOCK.format(name)) as locked:
            if locked and redis_client().getdel(FLAG.format(name)):
                current_app.tasks[job.task].run()
                PeriodicJob.objects.filter(name=name).update(ran_at=Now())


def _named(name: str) -> Iterator[Job]:
    """None, where a timer of another version knows more jobs."""
    return (job for job in JOBS if job.name == name)
