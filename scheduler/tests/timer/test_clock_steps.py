"""What a timer does about a step of the database's clock while it runs."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from clusters.models import Cluster
from deployments.models import Deployment, Status
from mlops_platform.database.clock import database_now
from scheduler.models import NextCycle
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.timer import turn

pytestmark = pytest.mark.django_db


def test_a_turn_after_a_step_back_leaves_no_end_in_the_future(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock ahead by an hour is as the database's put back by it."""
    row = submit("LOW", simulated_runtime_s=5)
    run_cycle(row.cluster)
    timer = turn.Turn()
    timer.take()
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 3600)
    ahead = database_now() + timedelta(hours=1)
    Deployment.objects.update(started_at=ahead, due_at=ahead + timedelta(seconds=5))
    NextCycle.objects.update_or_create(cluster=row.cluster, defaults={"due_at": ahead})
    timer.take()
    assert not NextCycle.objects.filter(due_at__gt=database_now()).exists()
    row.refresh_from_db()
    assert row.status == Status.RUNNING
    assert row.due_at is not None
    assert row.due_at <= database_now() + timedelta(seconds=5)


class Looks:
    """Counts how often all that runs is read."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Any, sql: str, *rest: Any) -> Any:
        self.count += "SET started_at = statement_timestamp()" in sql
        return execute(sql, *rest)


@pytest.mark.parametrize("stepped", [False, True], ids=["after a start", "after a step back"])
def test_few_turns_read_all_that_runs(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, stepped: bool
) -> None:
    """Two minutes of turns, and a row that has been locked until ten seconds are over."""
    row = submit("LOW", simulated_runtime_s=86_400)
    run_cycle(row.cluster)
    passed, monotonic, timer = [0.0], time.monotonic, turn.Turn()
    ahead_s = 3600.0 if stepped else 0.0
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed[0])
    # The database's clock goes on with the monotonic one, but for a step.
    monkeypatch.setattr(turn, "STEP_S", ahead_s - 1800 if stepped else float("inf"))
    looks = Looks()
    with connection.execute_wrapper(looks):
        timer.take()
        first = looks.count
        passed[0] += ahead_s
        for number in range(240):
            if number == 20:
                Deployment.objects.update(started_at=database_now() + timedelta(hours=1))
            passed[0] += 0.5
            timer.take()
    assert first == 1
    assert 5 <= looks.count <= 10
    row.refresh_from_db()
    assert row.started_at is not None
    assert row.started_at <= database_now()


PUT_AHEAD = "put ahead"


class Slow:
    """The query that reads the clock waits before it is sent, or its answer comes late."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __call__(self, execute: Any, sql: str, *rest: Any) -> Any:
        reads_clock = "clock_timestamp" in sql
        if reads_clock and self._part == "before":
            time.sleep(0.6)
        answer = execute(sql, *rest)
        if reads_clock and self._part == "after":
            time.sleep(0.6)
        return answer


@pytest.mark.parametrize("by_s", [60, 3600])
def test_a_step_ahead_is_logged_once_by_each_timer(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by_s: int
) -> None:
    """The monotonic clock behind is as the database's put ahead."""
    row = submit("LOW", simulated_runtime_s=86_400)
    run_cycle(row.cluster)
    row.refresh_from_db()
    timers = [turn.Turn(), turn.Turn()]
    for timer in timers:
        timer.take()
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() - by_s)
    for timer in timers * 2:
        timer.take()
    told = [record for record in caplog.records if PUT_AHEAD in record.getMessage()]
    # As of the earliest moment at which the clock may have been read.
    assert [by_s - 30 < vars(record)["by_s"] <= by_s for record in told] == [True, True]
    before = row.started_at, row.due_at
    row.refresh_from_db()
    assert (row.started_at, row.due_at) == before


def test_a_frozen_timer_and_a_slow_database_are_no_step_ahead(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "STEP_AHEAD_S", 0.2)
    timer = turn.Turn()
    timer.take()
    time.sleep(0.6)
    timer.take()
    for part in ("before", "after"):
        with connection.execute_wrapper(Slow(part)):
            timer.take()
        timer.take()
    assert PUT_AHEAD not in caplog.text


@pytest.mark.parametrize("part", ["before", "after"])
def test_a_slow_database_is_no_step_back(submit: Submit, part: str) -> None:
    cluster = submit("LOW").cluster
    timer = turn.Turn()
    timer.take()
    ahead = database_now() + timedelta(hours=1)
    NextCycle.objects.update_or_create(cluster=cluster, defaults={"due_at": ahead})
    with connection.execute_wrapper(Slow(part)):
        timer.take()
    timer.take()
    assert NextCycle.objects.get(cluster=cluster).due_at == ahead
