"""Timers as real processes: two at once, frozen, killed, and on hosts whose clocks are wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Count

from clusters.models import Cluster
from deployments.models import Deployment, DeploymentEvent, EventType, Status
from mlops_platform.database.clock import database_now
from mlops_platform.tests.equipment.clocks import on_a_host
from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.equipment.workers import StartTimer
from scheduler import audit
from scheduler.models import PeriodicJob
from scheduler.tests.conftest import Submit
from scheduler.timer import heartbeat, jobs

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]

PATIENCE_S = 60.0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def completed() -> int:
    return Deployment.objects.filter(status=Status.COMPLETED).count()


def test_two_timers_end_everything_once(
    submit: Submit, start_timer: StartTimer, start_worker: Callable[..., object]
) -> None:
    start_worker(concurrency=2)
    for _ in range(2):
        start_timer()
    rows = [submit("LOW", simulated_runtime_s=1 + number % 3) for number in range(12)]
    wait_for(lambda: completed() == len(rows))
    ends = DeploymentEvent.objects.filter(type=EventType.COMPLETED).values("deployment")
    assert ends.annotate(count=Count("id")).filter(count=1).count() == len(rows)
    assert audit.breaches() == []


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_frozen_or_killed_timer_stops_nothing_while_another_runs(
    submit: Submit,
    start_timer: StartTimer,
    start_worker: Callable[..., object],
    number: signal.Signals,
) -> None:
    start_worker(concurrency=1)
    for timer in [start_timer() for _ in range(4)][:3]:
        timer.send_signal(number)
    row = submit("LOW", simulated_runtime_s=1)
    wait_for(lambda: completed() == 1)
    PeriodicJob.objects.update(next_at=row.created_at)
    wait_for(lambda: not PeriodicJob.objects.filter(next_at=row.created_at).exists())


@pytest.mark.parametrize("by", [timedelta(minutes=20), timedelta(minutes=-20)], ids=str)
def test_timers_and_workers_whose_hosts_have_another_time_end_what_is_due(
    submit: Submit, start_timer: StartTimer, start_worker: Callable[..., object], by: timedelta
) -> None:
    start_worker(concurrency=1, **on_a_host(ahead=-by))
    start_timer(**on_a_host(ahead=by))
    submit("LOW", simulated_runtime_s=2)
    wait_for(lambda: completed() == 1)


def test_a_timer_that_ran_while_the_clock_was_ahead_leaves_nothing_that_waits_for_it(
    submit: Submit, start_timer: StartTimer, start_worker: Callable[..., object]
) -> None:
    """As after a restart: the clock was 20 minutes ahead when the jobs ran last."""
    for job in jobs.JOBS:
        PeriodicJob.objects.create(
            name=job.name, next_at=database_now() + timedelta(minutes=20, seconds=job.every_s)
        )
    start_worker(concurrency=1)
    start_timer()
    submit("LOW", simulated_runtime_s=2)
    wait_for(lambda: completed() == 1)
    ahead = database_now() + timedelta(minutes=15)
    wait_for(lambda: not PeriodicJob.objects.filter(name="sweep", next_at__gt=ahead).exists())


def test_a_timer_outlives_its_connection_to_the_database(
    submit: Submit, start_timer: StartTimer, start_worker: Callable[..., object]
) -> None:
    start_worker(concurrency=1)
    timer = start_timer()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    submit("LOW", simulated_runtime_s=1)
    wait_for(lambda: completed() == 1)
    assert timer.poll() is None


def test_a_heartbeat_says_whether_a_timer_takes_its_turns(
    start_timer: StartTimer, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def health() -> int:
        return subprocess.run(
            [sys.executable, "-m", "scheduler.timer.heartbeat"],
            cwd=REPOSITORY,
            env={**os.environ, "MLOPS_DATA_DIR": str(tmp_path / "timer-1")},
            check=False,
        ).returncode

    assert health() == 1
    start_timer()
    assert health() == 0
    monkeypatch.setenv("MLOPS_DATA_DIR", str(tmp_path / "timer-1"))
    assert heartbeat.is_alive()
    monkeypatch.setattr(heartbeat, "LATE_S", 0.0)
    assert not heartbeat.is_alive()
