"""No call to a runtime is made while a transaction is open in any thread."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections as connections_of_this_thread
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from accounts.models import User
from clusters.models import Endpoint
from clusters.services.nodes import drain, uncordon
from deployments.services.stop import stop_deployment
from deployments.tests import clock
from deployments.tests.reconciler.testbed import (
    Testbed,
    docker_runtimes_from,
    launch_spec,
    mark_lost,
)
from deployments.tests.runtimes.fake_runtime import InterceptedRuntime
from organizations.models import Organization
from scheduler import audit

pytestmark = pytest.mark.django_db(transaction=True)

CALLS = {"start", "stop", "observe", "remove", "logs", "capacity", "pull", "tidy"}


def recorded(
    name: str, connections: set[BaseDatabaseWrapper], calls: list[tuple[str, bool]]
) -> Callable[..., Any]:
    """An intercept that records the call, and whether a transaction is open in any thread."""

    def call(own: Callable[..., Any], *args: Any, **given: Any) -> Any:
        calls.append((name, any(each.in_atomic_block for each in connections)))
        return own(*args, **given)

    return call


@contextmanager
def connections_of_all_threads() -> Iterator[set[BaseDatabaseWrapper]]:
    """The database connections of this thread, and of threads that connect from now on."""
    connections = {connections_of_this_thread["default"]}

    def add(connection: BaseDatabaseWrapper, **_: object) -> None:
        connections.add(connection)

    connection_created.connect(add)
    try:
        yield connections
    finally:
        connection_created.disconnect(add)


@pytest.fixture
def calls() -> list[tuple[str, bool]]:
    """The calls to runtimes, and whether a transaction was open."""
    return []


@pytest.fixture
def observed_testbed(
    org: Organization, dev: User, calls: list[tuple[str, bool]]
) -> Iterator[Testbed]:
    testbed = Testbed(org, {"dev": dev})
    with connections_of_all_threads() as connections:
        intercepts = {name: recorded(name, connections, calls) for name in CALLS}

        def connect(_: object, endpoint: Endpoint, *__: Any) -> Any:
            return InterceptedRuntime(testbed.runtimes[endpoint.pk], intercepts)

        with docker_runtimes_from(connect):
            yield testbed
    assert audit.breaches() == []


def test_no_runtime_is_called_inside_a_transaction_in_the_whole_life_of_deployments(
    observed_testbed: Testbed, calls: list[tuple[str, bool]], dev: User
):
    testbed = observed_testbed
    a, b = testbed.add_node("a"), testbed.add_node("b")
    testbed.reconcile()
    testbed.runtime_of(a).missing_images.add("sleep")
    testbed.runtime_of(b).unpullable_images.add("nothing")
    testbed.runtime_of(a).unpullable_images.add("nothing")
    gang = testbed.submit(replicas=2)
    done, bad = testbed.submit("hello"), testbed.submit("exit:1", max_retries=1)
    never = testbed.submit("nothing", gpu=0)
    testbed.settle()
    testbed.end_retry_pauses()
    testbed.settle()
    assert [testbed.status(row) for row in (gang, done, bad, never)] == [
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "FAILED",
    ]
    deaf = testbed.submit("deaf", gpu=2)
    testbed.settle()
    stop_deployment(dev, testbed.fresh(gang))
    testbed.settle()
    victim = testbed.submit("deaf", gpu=2)
    testbed.settle()
    for row in (testbed.submit(priority="HIGH", gpu=2), testbed.submit(priority="HIGH", gpu=2)):
        testbed.settle()
        for each in (deaf, victim):
            if testbed.status(each) == "STOPPING":
                testbed.expire_grace(each)
        testbed.settle()
        assert testbed.status(row) == "RUNNING"
    testbed.runtime_of(a).start(launch_spec("01a20000-0000-7000-8000-000000000000"))
    testbed.settle()
    limited = testbed.node_of(row)
    drain(limited)
    testbed.settle()
    uncordon(type(limited).objects.get(pk=limited.pk))
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    mark_lost(a)
    testbed.settle()
    testbed.reconnect(a)
    testbed.settle()
    admitted_at = testbed.fresh(row).admitted_at
    assert admitted_at is not None
    clock.finish_due(admitted_at)
    assert {name for name, _ in calls} == CALLS
    assert [name for name, inside in calls if inside] == []
