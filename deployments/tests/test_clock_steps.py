"""After the database's clock has been put back: times that were written while it was ahead."""

from datetime import timedelta
from typing import Any

import pytest

from clusters.models import Cluster
from deployments.lifecycle import clock_steps
from deployments.models import Deployment, Status
from deployments.tests.workloads import make
from mlops_platform.database.clock import database_now

BACK = [timedelta(seconds=60), timedelta(minutes=20), timedelta(hours=1), timedelta(days=400)]


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@pytest.mark.parametrize("back", BACK, ids=str)
def test_nothing_is_later_than_if_it_had_begun_just_now(
    dev: Any, cluster: Cluster, back: timedelta
) -> None:
    ahead = database_now() + back
    run = make(cluster, dev, Status.RUNNING, started_at=ahead, due_at=ahead + s(90))
    endless = make(cluster, dev, Status.RUNNING, started_at=ahead)
    retry = make(cluster, dev, retry_at=ahead + s(300))
    stop = make(cluster, dev, Status.STOPPING, stop_by=ahead + s(20), grace_s=20)
    assert clock_steps.move_future_to_now() == 4
    now = database_now()
    for row in (run, endless, retry, stop):
        row.refresh_from_db()
    assert run.started_at is not None
    assert run.started_at <= now
    assert run.due_at == run.started_at + s(90)
    assert endless.started_at is not None
    assert endless.started_at <= now
    assert endless.due_at is None
    assert retry.retry_at is not None
    assert retry.retry_at <= now + s(300)
    assert stop.stop_by is not None
    assert stop.stop_by <= now + s(20)
    assert clock_steps.move_future_to_now() == 0


def test_what_is_as_it_should_be_stays(dev: Any, cluster: Cluster) -> None:
    now = database_now()
    rows = [
        make(cluster, dev, Status.RUNNING, started_at=now, due_at=now + s(86_400)),
        make(cluster, dev, retry_at=now + s(300)),
        make(cluster, dev, Status.STOPPING, stop_by=now + s(30), grace_s=30),
        make(cluster, dev, Status.COMPLETED, finished_at=now),
    ]
    assert clock_steps.move_future_to_now() == 0
    assert Deployment.objects.count() == len(rows)
