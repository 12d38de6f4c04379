"""No deployment waits for ever: its dependency ends at the worst moment, just before a commit."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import NotFound

from clusters.models import Cluster
from clusters.services import clusters
from clusters.services.deletion import delete_cluster
from deployments.models import Deployment, Status
from deployments.services.stop import stop_one
from deployments.tests import clock
from deployments.tests.dependencies.cases import blamed, state, submit
from deployments.tests.interleaving import after_statement
from deployments.tests.workloads import make
from mlops_platform.api.errors import Conflict
from mlops_platform.database import row_waits

PATIENT_S = 10.0
LONG_ENOUGH_S = 0.3  # to reach the lock that it has to wait for
LINKED = 'INSERT INTO "deployments_deployment_depends_on"'
RECORDED = "INSERT INTO deployments_deploymentevent"
CLUSTER_DELETED = 'UPDATE "clusters_cluster" SET "state"'
Call = Callable[[], Any]


@pytest.fixture
def between(transactional_db, monkeypatch):
    """`between(first, statement, second)`: `second` begins, on a connection of its own, after that
    statement of `first`, which has not committed. Returns what both returned or raised.

    `second` waits for the rows that it needs until `first` has committed, however slow that is.
    """
    monkeypatch.setattr(row_waits, "SHORT_S", PATIENT_S)
    limits = row_waits.transaction_limits(lock_timeout=PATIENT_S)
    monkeypatch.setattr(clusters, "LIMITS", limits)
    monkeypatch.setitem(clusters.lock_cluster.__kwdefaults__, "limits", limits)

    def between(first: Call, statement: str, second: Call) -> tuple[Any, Any]:
        with ThreadPoolExecutor(1) as pool:
            begun: list[Future[Any]] = []

            def begin_second() -> None:
                begun.append(pool.submit(outcome, second, last=True))
                wait(begun, LONG_ENOUGH_S)

            with after_statement(statement, begin_second):
                answer = outcome(first)
            return answer, begun[0].result(10)

    return between


def outcome(call: Call, *, last: bool = False) -> Any:
    try:
        return call()
    except Exception as error:
        return error
    finally:
        if last:
            connection.close()


@pytest.fixture
def queued(transactional_db, dev, cluster):
    return make(cluster, dev)


@pytest.fixture
def due(transactional_db, dev, cluster):
    return make(cluster, dev, Status.RUNNING, due_at=timezone.now())


def finish() -> int:
    return clock.finish_due(timezone.now())


def test_a_dependency_completes_during_the_submit(dev, cluster, due, between):
    submit_dependent = partial(submit, dev, cluster, due)
    row, finished = between(submit_dependent, LINKED, finish)
    assert finished == 1
    assert state(row) == (Status.QUEUED, 0)


def test_a_submit_comes_while_its_dependency_completes(dev, cluster, due, between):
    submit_dependent = partial(submit, dev, cluster, due)
    finished, row = between(finish, RECORDED, submit_dependent)
    assert finished == 1
    assert state(row) == (Status.QUEUED, 0)


def test_a_queued_dependency_is_stopped_during_the_submit(dev, cluster, queued, between):
    """The short cut writes before it reads the dependents, and then gives way to the long way."""
    submit_dependent = partial(submit, dev, cluster, queued)
    row, stopped = between(submit_dependent, LINKED, partial(stop_one, queued, dev))
    assert stopped is True
    assert blamed(row) == str(queued.pk)
    assert state(queued)[0] == Status.STOPPED


def test_a_submit_comes_while_its_queued_dependency_is_stopped(dev, cluster, queued, between):
    submit_dependent = partial(submit, dev, cluster, queued)
    stopped, refusal = between(partial(stop_one, queued, dev), RECORDED, submit_dependent)
    assert stopped is True
    assert isinstance(refusal, Conflict)
    assert Deployment.objects.get() == queued


def test_a_running_dependency_is_stopped_during_the_submit(dev, cluster, due, between):
    submit_dependent = partial(submit, dev, cluster, due)
    row, stopped = between(submit_dependent, LINKED, partial(stop_one, due, dev))
    assert stopped is True
    assert blamed(row) == str(due.pk)


def test_a_submit_comes_while_its_running_dependency_is_stopped(dev, cluster, due, between):
    submit_dependent = partial(submit, dev, cluster, due)
    stopped, refusal = between(partial(stop_one, due, dev), RECORDED, submit_dependent)
    assert stopped is True
    assert isinstance(refusal, Conflict)


def test_a_dependent_is_stopped_while_it_fails(dev, cluster, queued, between):
    """Either status is right; the dependent ends once, and its timeline says how."""
    row = submit(dev, cluster, queued)
    between(partial(stop_one, queued, dev), RECORDED, partial(stop_one, row, dev))
    assert blamed(row) == str(queued.pk)
    events = row.events.values_list("type", flat=True)
    assert list(events) == ["SUBMITTED", "FAILED"]


def test_a_dependent_fails_while_it_is_stopped(dev, cluster, queued, between):
    row = submit(dev, cluster, queued)
    between(partial(stop_one, row, dev), RECORDED, partial(stop_one, queued, dev))
    assert state(row)[0] == state(queued)[0] == Status.STOPPED
    events = row.events.values_list("type", flat=True)
    assert list(events) == ["SUBMITTED", "STOPPED"]


def test_the_cluster_is_deleted_during_the_submit(dev, cluster, queued, between):
    submit_dependent = partial(submit, dev, cluster, queued)
    delete = partial(delete_cluster, cluster, force=True)
    row, deleted = between(submit_dependent, LINKED, delete)
    assert isinstance(row, Deployment)
    assert deleted is None
    assert not Deployment.objects.exists()


def test_a_submit_comes_while_the_cluster_is_deleted(dev, cluster, queued, between):
    submit_dependent = partial(submit, dev, cluster, queued)
    delete = partial(delete_cluster, cluster, force=True)
    deleted, refusal = between(delete, CLUSTER_DELETED, submit_dependent)
    assert deleted is None
    assert isinstance(refusal, NotFound)
    assert not Deployment.objects.exists()
    assert not Cluster.objects.exists()
