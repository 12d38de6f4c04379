"""When a deployment ended, by the clock of its machine, which may differ from the platform's."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from clusters.models import Node
from deployments.models import Deployment
from deployments.reconciler import status_writer
from deployments.reconciler.assessment import assess
from deployments.reconciler.observation import Replica
from deployments.runtimes.base import Code, Key, Phase, Problem, ReplicaStatus
from deployments.tests.reconciler.testbed import Testbed
from mlops_platform.database.clock import database_now

pytestmark = pytest.mark.django_db


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def ended(
    row: Deployment,
    number: int,
    started_at: datetime,
    ended_at: datetime | None,
    code: int = 0,
) -> Replica:
    """A replica as its endpoint shows it."""
    key = Key(str(row.pk), row.attempt, number)
    problem = Problem(Code.EXITED) if code else None
    times: dict[str, Any] = {"started_at": started_at, "ended_at": ended_at}
    status = ReplicaStatus(key, Phase.ENDED, exit_code=code, problem=problem, **times)
    return Replica(number, None, status, answered=True, node_lost=False, node_returned=False)


def notice(testbed: Testbed, row: Deployment, replicas: Sequence[Replica], now: datetime) -> None:
    row = testbed.fresh(row)
    status_writer.write(testbed.cluster.pk, [(row, assess(row, replicas, now))], now)


def ran(row: Deployment) -> float:
    assert row.started_at is not None
    assert row.finished_at is not None
    return (row.finished_at - row.started_at).total_seconds()


@pytest.fixture
def running(testbed: Testbed, a: Node) -> Deployment:
    """It started a minute ago by the clock of its machine, which is the platform's."""
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    began = database_now() - s(60)
    Deployment.objects.filter(pk=row.pk).update(admitted_at=began - s(1), started_at=began)
    return testbed.fresh(row)


@pytest.mark.parametrize("exit_code", [0, 3])
@pytest.mark.parametrize("noticed_after_s", [0, 20, 3600])
def test_an_end_is_when_the_process_ended_however_late_it_is_noticed(
    testbed: Testbed, running: Deployment, noticed_after_s: int, exit_code: int
):
    began = running.started_at
    assert began is not None
    end = began + s(5.25)
    notice(testbed, running, [ended(running, 0, began, end, exit_code)], end + s(noticed_after_s))
    row = testbed.fresh(running)
    assert row.status == ("FAILED" if exit_code else "COMPLETED")
    assert row.finished_at == end
    last = row.events.order_by("-id").first()
    assert last is not None
    assert (last.type, last.at) == (row.status, end)


@pytest.mark.parametrize("ahead_s", [-7200, -30, -2, 2, 30, 7200])
def test_a_machine_whose_clock_is_wrong_says_how_long_it_ran_and_not_when(
    testbed: Testbed, running: Deployment, ahead_s: int
):
    began = running.started_at
    assert began is not None
    machine_began = began + s(ahead_s)
    replica = ended(running, 0, machine_began, machine_began + s(5.25))
    notice(testbed, running, [replica], began + s(50))
    assert ran(testbed.fresh(running)) == 5.25


@pytest.mark.parametrize(
    ("lasted_s", "noticed_s", "expected_s"),
    [(-3, 10, 0), (10_000, 10, 10), (None, 10, 10)],
    ids=["before its start", "in the future", "unknown"],
)
def test_an_end_that_cannot_be_is_brought_between_the_start_and_now(
    testbed: Testbed,
    running: Deployment,
    lasted_s: float | None,
    noticed_s: float,
    expected_s: float,
):
    began = running.started_at
    assert began is not None
    end = None if lasted_s is None else began + s(lasted_s)
    notice(testbed, running, [ended(running, 0, began, end)], began + s(noticed_s))
    assert ran(testbed.fresh(running)) == expected_s


def test_a_gang_ended_when_the_last_of_its_replicas_did(testbed: Testbed, running: Deployment):
    began = running.started_at
    assert began is not None
    replicas = [
        ended(running, 0, began - s(2), began + s(9)),
        ended(running, 1, began, began + s(7)),
    ]
    notice(testbed, running, replicas, began + s(30))
    assert ran(testbed.fresh(running)) == 9


def test_a_deployment_that_a_user_has_stopped_ended_when_its_process_did(
    testbed: Testbed, running: Deployment
):
    began = running.started_at
    assert began is not None
    Deployment.objects.filter(pk=running.pk).update(status="STOPPING", next_status="STOPPED")
    notice(testbed, running, [ended(running, 0, began, began + s(12.5), 143)], began + s(40))
    row = testbed.fresh(running)
    assert (row.status, ran(row)) == ("STOPPED", 12.5)


@pytest.mark.parametrize("exit_code", [3, 143])
@pytest.mark.parametrize("noticed_after_s", [0, 7, 3600])
def test_the_pause_before_a_retry_counts_from_the_end(
    testbed: Testbed, running: Deployment, noticed_after_s: int, exit_code: int
):
    Deployment.objects.filter(pk=running.pk).update(max_retries=3)
    began = running.started_at
    assert began is not None
    end = began + s(5.25)
    notice(testbed, running, [ended(running, 0, began, end, exit_code)], end + s(noticed_after_s))
    assert testbed.fresh(running).retry_at == end + s(10)
