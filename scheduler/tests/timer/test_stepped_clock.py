"""The clock of a real PostgreSQL is stepped while real workers and a timer run: ADR 23."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from clusters.models import Cluster
from deployments.models import Deployment, DeploymentEvent, EventType, Status
from mlops_platform.database.clock import database_now
from mlops_platform.tests.equipment.own_postgres import OwnPostgres, postgres_with_a_clock
from mlops_platform.tests.equipment.workers import StartTimer
from scheduler import audit
from scheduler.models import PeriodicJob
from scheduler.tests.conftest import Submit
from scheduler.tests.timer.test_process import wait_for
from scheduler.timer import jobs

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEPS = {
    "back a minute": [-MINUTE],
    "ahead a minute": [MINUTE],
    "ahead and back an hour": [HOUR, -HOUR],
    "back and ahead an hour": [-HOUR, HOUR],
}
RUNTIME_S = 8
SEEN_S = 1.5  # three turns of a timer


@pytest.fixture(scope="module")
def own_postgres(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OwnPostgres]:
    with (
        django_db_blocker.unblock(),
        postgres_with_a_clock(tmp_path_factory.mktemp("postgres")) as own,
    ):
        yield own


@pytest.fixture(autouse=True)
def clock(transactional_db: None, own_postgres: OwnPostgres) -> Iterator[OwnPostgres]:
    """Its `step` puts the database's clock ahead or back."""
    with own_postgres.as_the_tests_database():
        yield own_postgres


@pytest.fixture
def platform(
    clock: OwnPostgres, start_timer: StartTimer, start_worker: Callable[..., object]
) -> None:
    start_worker(concurrency=2)
    for _ in range(2):
        start_timer()
    wait_for(lambda: PeriodicJob.objects.count() == len(jobs.JOBS))


def status(row: Deployment) -> str:
    row.refresh_from_db()
    return row.status


def is_running(submit: Submit, priority: str = "LOW", **spec: object) -> Deployment:
    row = submit(priority, **spec)
    wait_for(lambda: status(row) == Status.RUNNING)
    return row


def step(clock: OwnPostgres, steps: list[timedelta]) -> None:
    """One after the other, each seen by the timers before the next."""
    for by in steps:
        clock.step(by)
        time.sleep(SEEN_S)


def all_goes_on(cluster: Cluster, submit: Submit) -> None:
    """No job waits for a moment that was near only before the step; what is submitted now starts,
    and ends when it is due."""
    wait_for(lambda: not _far_jobs())
    row = submit("HIGH", simulated_runtime_s=1)
    wait_for(lambda: status(row) == Status.COMPLETED)
    assert ran_for(row) == timedelta(seconds=1)
    cluster.refresh_from_db()
    assert cluster.evaluated_at is not None
    assert cluster.evaluated_at <= database_now()
    assert audit.breaches() == []


def _far_jobs() -> list[str]:
    now = database_now()
    furthest = {job.name: now + timedelta(seconds=job.every_s + 5) for job in jobs.JOBS}
    return [job.name for job in PeriodicJob.objects.all() if job.next_at > furthest[job.name]]


def ran_for(row: Deployment) -> timedelta:
    assert row.started_at is not None
    assert row.finished_at is not None
    return row.finished_at - row.started_at


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_what_runs_ends_once_and_at_its_due_time(
    platform: None, clock: OwnPostgres, cluster: Cluster, submit: Submit, steps: list[timedelta]
) -> None:
    row = is_running(submit, gpu=1, simulated_runtime_s=RUNTIME_S)
    limited = is_running(submit, gpu=1, max_runtime_s=RUNTIME_S)
    before = row.started_at
    step(clock, steps)
    wait_for(lambda: (status(row), status(limited)) == (Status.COMPLETED, Status.FAILED))
    for ended in (row, limited):
        assert ran_for(ended) == timedelta(seconds=RUNTIME_S)
        ends = DeploymentEvent.objects.filter(
            deployment=ended, type__in=[EventType.COMPLETED, EventType.FAILED]
        )
        assert [end.at for end in ends] == [ended.finished_at]
    if steps[0] > timedelta():  # put ahead, it moves nothing
        assert row.started_at == before
    all_goes_on(cluster, submit)


def test_what_began_while_the_clock_was_ahead_ends_after_its_time(
    platform: None, clock: OwnPostgres, cluster: Cluster, submit: Submit
) -> None:
    step(clock, [HOUR])
    row = is_running(submit, gpu=1, simulated_runtime_s=RUNTIME_S)
    step(clock, [-HOUR])
    wait_for(lambda: status(row) == Status.COMPLETED)
    assert ran_for(row) == timedelta(seconds=RUNTIME_S)
    all_goes_on(cluster, submit)


@pytest.mark.parametrize("steps", [[-MINUTE], [MINUTE]], ids=["back", "ahead"])
def test_an_exempt_time_ends_though_the_clock_was_stepped(
    platform: None, clock: OwnPostgres, cluster: Cluster, submit: Submit, steps: list[timedelta]
) -> None:
    Cluster.objects.update(preempt_exempt_s=RUNTIME_S)
    low = is_running(submit, gpu=8)
    high = submit("HIGH", gpu=8)
    wait_for(lambda: Cluster.objects.filter(evaluated_at__gt=high.queued_at).exists())
    step(clock, steps)
    wait_for(lambda: (status(high), status(low)) == (Status.RUNNING, Status.QUEUED))
    all_goes_on(cluster, submit)


def test_a_lost_wake_up_is_found_though_the_last_cycle_lies_in_the_future(
    platform: None, clock: OwnPostgres, cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    step(clock, [HOUR])
    is_running(submit, gpu=1)
    step(clock, [-HOUR])
    with override_settings(REDIS_URL=f"unix://{tmp_path}/nobody.sock"):
        row = submit("LOW", gpu=1)
    wait_for(lambda: status(row) == Status.RUNNING)
    all_goes_on(cluster, submit)
