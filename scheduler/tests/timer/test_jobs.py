"""The periodic jobs: each is asked for once when it is due, by however many timers."""

from datetime import timedelta
from functools import partial

import pytest
from celery import current_app
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from mlops_platform.coordination.redis import redis_client
from mlops_platform.database.clock import database_now
from organizations.tests.people import all_at_once
from scheduler import tasks
from scheduler.models import PeriodicJob
from scheduler.timer import jobs
from scheduler.timer.jobs import JOBS, Job
from scheduler.timer.turn import Turn

pytestmark = pytest.mark.django_db

SWEEP = next(job for job in JOBS if job.name == "sweep")


def is_due(job: Job = SWEEP) -> bool:
    return job in jobs.claim_due()


def put(job: Job = SWEEP, *, ahead_s: float) -> None:
    """As if the job were due so many seconds from now."""
    next_at = database_now() + timedelta(seconds=ahead_s)
    PeriodicJob.objects.filter(pk=job.name).update(next_at=next_at)


def test_all_jobs_are_due_at_first_and_then_none_until_its_period_is_over() -> None:
    assert tuple(jobs.claim_due()) == JOBS
    assert jobs.claim_due() == []
    put(ahead_s=-0.001)
    assert jobs.claim_due() == [SWEEP]
    assert jobs.claim_due() == []
    row = PeriodicJob.objects.get(pk=SWEEP.name)
    assert abs((row.next_at - database_now()).total_seconds() - SWEEP.every_s) < 5


def test_a_job_that_has_missed_many_periods_is_due_once() -> None:
    jobs.claim_due()
    put(ahead_s=-3600)
    assert is_due()
    assert not is_due()


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_clock_that_has_been_put_back_by_an_hour_or_a_week_delays_no_job(job: Job) -> None:
    for ahead_s in (3600 + job.every_s, 7 * 24 * 3600 + job.every_s):
        jobs.claim_due()
        put(job, ahead_s=ahead_s)
        assert is_due(job)
        assert not is_due(job)


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_of_many_timers_at_once_each_job_is_claimed_by_one() -> None:
    for _ in range(5):
        for job in JOBS:
            put(job, ahead_s=-1)
        claimed = all_at_once(*[partial(jobs.claim_due) for _ in range(4)])
        assert sorted(job.name for each in claimed for job in each) == sorted(
            job.name for job in JOBS
        )


def test_a_claim_costs_one_query(django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        jobs.claim_due()


def test_every_job_is_a_task_without_arguments() -> None:
    current_app.loader.import_default_modules()
    for job in JOBS:
        assert (job.task in current_app.tasks) is (job.here is None)
    assert len({job.name for job in JOBS}) == len(JOBS)


def test_messages_do_not_pile_up_while_no_worker_takes_them() -> None:
    for _ in range(5):
        jobs.ask_for(SWEEP)
    assert redis_client().llen("scheduler") == 1


def test_a_message_runs_its_job_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(current_app.tasks[SWEEP.task], "run", lambda: ran.append("sweep"))
    jobs.ask_for(SWEEP)
    tasks.run_job(SWEEP.name)
    tasks.run_job(SWEEP.name)  # the message, doubled
    assert ran == ["sweep"]
    jobs.ask_for(SWEEP)
    tasks.run_job(SWEEP.name)
    assert ran == ["sweep", "sweep"]


def test_a_job_of_another_version_is_passed_over() -> None:
    tasks.run_job("polish-the-brass")


def test_a_job_that_redis_did_not_take_is_due_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise RedisConnectionError

    last = JOBS[-1]
    jobs.claim_due()
    with monkeypatch.context() as broken:
        broken.setattr(current_app, "send_task", away)
        with pytest.raises(RedisConnectionError):
            jobs.ask_for(last)
    next_at = PeriodicJob.objects.get(pk=last.name).next_at
    assert next_at - timezone.now() < timedelta(seconds=2 * jobs.AGAIN_S)
    jobs.ask_for(last)
    assert redis_client().llen("scheduler") == 1


def test_the_next_moment_is_that_of_the_first_job() -> None:
    until_s = Turn().take()
    assert until_s is not None
    assert 0 < until_s <= min(job.every_s for job in JOBS)
