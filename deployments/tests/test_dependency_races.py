"""Nobody waits for ever: what a submit names ends at the worst moment, just before a commit."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import NotFound

from clusters.models import Cluster
from clusters.services.clusters import delete_cluster
from deployments.lifecycle import deadlines
from deployments.models import Deployment, Status
from deployments.services import dependencies, stop
from deployments.services.stop import stop_one
from deployments.tests.test_dependencies import blamed, state, submit
from deployments.tests.workloads import make
from mlops_platform.api.errors import Conflict

LONG_ENOUGH_S = 0.3  # to come to where it has to wait
Call = Callable[[], Any]


@pytest.fixture
def between(transactional_db, monkeypatch):
    """`between(first, module, name, second)`: `second` begins, on a connection of its own, when
    `first` has come through `module.name` but has not committed; what both answered or raised."""

    def between(first: Call, module: Any, name: str, second: Call) -> tuple[Any, Any]:
        with ThreadPoolExecutor(1) as pool:
            begun: list[Future[Any]] = []
            original = getattr(module, name)

            def passed(*args: Any, **kwargs: Any) -> Any:
                answer = original(*args, **kwargs)
                if not begun:
                    begun.append(pool.submit(outcome, second, last=True))
                    wait(begun, LONG_ENOUGH_S)
                return answer

            monkeypatch.setattr(module, name, passed)
            answer = outcome(first)
            monkeypatch.undo()
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
    return deadlines.finish_due(timezone.now())


def test_it_completes_while_it_is_named(dev, cluster, due, between):
    name_it = partial(submit, dev, cluster, due)
    row, finished = between(name_it, dependencies, "attach", finish)
    assert finished == 1
    assert state(row) == (Status.QUEUED, 0)


def test_it_is_named_while_it_completes(dev, cluster, due, between):
    name_it = partial(submit, dev, cluster, due)
    finished, row = between(finish, deadlines, "record_all", name_it)
    assert finished == 1
    assert state(row) == (Status.QUEUED, 0)


def test_it_is_stopped_in_the_queue_while_it_is_named(dev, cluster, queued, between):
    """The short cut, which has written before it looks, gives way to the long way."""
    name_it = partial(submit, dev, cluster, queued)
    row, stopped = between(name_it, dependencies, "attach", partial(stop_one, queued, dev))
    assert stopped is True
    assert blamed(row) == str(queued.pk)
    assert state(queued)[0] == Status.STOPPED


def test_it_is_named_while_it_is_stopped_in_the_queue(dev, cluster, queued, between):
    name_it = partial(submit, dev, cluster, queued)
    stopped, refusal = between(partial(stop_one, queued, dev), stop, "record", name_it)
    assert stopped is True
    assert isinstance(refusal, Conflict)
    assert Deployment.objects.get() == queued


def test_it_is_stopped_running_while_it_is_named(dev, cluster, due, between):
    name_it = partial(submit, dev, cluster, due)
    row, stopped = between(name_it, dependencies, "attach", partial(stop_one, due, dev))
    assert stopped is True
    assert blamed(row) == str(due.pk)


def test_it_is_named_while_it_is_stopped_running(dev, cluster, due, between):
    name_it = partial(submit, dev, cluster, due)
    stopped, refusal = between(partial(stop_one, due, dev), stop, "record_all", name_it)
    assert stopped is True
    assert isinstance(refusal, Conflict)


def test_a_dependent_is_stopped_while_it_fails(dev, cluster, queued, between):
    """Either is right; it ends once, and its timeline says how."""
    row = submit(dev, cluster, queued)
    between(partial(stop_one, queued, dev), stop, "record_all", partial(stop_one, row, dev))
    assert blamed(row) == str(queued.pk)
    events = row.events.values_list("type", flat=True)
    assert list(events) == ["SUBMITTED", "FAILED"]


def test_a_dependent_fails_while_it_is_stopped(dev, cluster, queued, between):
    row = submit(dev, cluster, queued)
    between(partial(stop_one, row, dev), stop, "record", partial(stop_one, queued, dev))
    assert state(row)[0] == state(queued)[0] == Status.STOPPED
    events = row.events.values_list("type", flat=True)
    assert list(events) == ["SUBMITTED", "STOPPED"]


def test_the_cluster_is_deleted_while_it_is_named(dev, cluster, queued, between):
    name_it = partial(submit, dev, cluster, queued)
    delete = partial(delete_cluster, cluster, force=True)
    row, deleted = between(name_it, dependencies, "attach", delete)
    assert isinstance(row, Deployment)
    assert deleted is None
    assert not Deployment.objects.exists()


def test_it_is_named_while_the_cluster_is_deleted(dev, cluster, queued, between):
    name_it = partial(submit, dev, cluster, queued)
    delete = partial(delete_cluster, cluster, force=True)
    deleted, refusal = between(delete, Cluster, "delete", name_it)
    assert deleted is None
    assert isinstance(refusal, NotFound)
    assert not Deployment.objects.exists()
    assert not Cluster.objects.exists()
