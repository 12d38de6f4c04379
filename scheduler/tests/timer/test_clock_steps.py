"""What a timer does about a step of the database's clock while it runs."""

import time
from datetime import timedelta

import pytest

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
    monkeypatch.setattr(turn, "LOOK_FOR_S", 0.0)
    timer.take()
    monkeypatch.setattr(turn, "LOOK_FOR_S", 30.0)
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
