"""How many endpoints are watched at once, and which."""

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from clusters.models import Endpoint
from deployments import runtime_connections, wakeup
from deployments.reconciler import watcher
from deployments.reconciler.watcher import Watched, Watchers
from deployments.tests.reconciler.testbed import Testbed, endpoint_of
from mlops_platform.coordination.redis import redis_client

A, B = uuid4(), uuid4()  # organizations


@pytest.fixture
def watchers(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[Watchers]:
    """Their threads wait for their end and do nothing; eight of them at most."""
    settings.RUNTIMES_WATCHERS = 8

    def wait(_: UUID, stop: threading.Event) -> None:
        stop.wait(10)

    monkeypatch.setattr(watcher, "watch", wait)
    watchers = Watchers()
    yield watchers
    watchers.stop()


def endpoints(organization_id: UUID, count: int) -> list[Watched]:
    return [Watched(uuid4(), organization_id) for _ in range(count)]


def threads() -> int:
    return sum(each.name.startswith("watch-") for each in threading.enumerate())


def test_an_organization_has_a_quarter_of_the_watchers(watchers: Watchers):
    of_a, of_b = endpoints(A, 300), endpoints(B, 1)
    watchers.update([*of_a, *of_b])
    assert set(watchers.stops) == {each.endpoint_id for each in (*of_a[:2], *of_b)}
    assert threads() == 3


def test_many_organizations_have_no_more_watchers_than_there_are(watchers: Watchers):
    watchers.update([endpoints(uuid4(), 1)[0] for _ in range(300)])
    assert len(watchers.stops) == 8


def test_a_watcher_that_is_free_again_goes_to_the_next_endpoint(watchers: Watchers):
    of_a = endpoints(A, 3)
    watchers.update(of_a)
    watchers.update(of_a[1:])
    assert set(watchers.stops) == {each.endpoint_id for each in of_a[1:]}


@pytest.mark.django_db
def test_an_endpoint_that_does_not_answer_is_not_watched(testbed: Testbed, a, b):
    assert watcher._open_endpoints() == []  # neither has been called yet
    testbed.reconcile()
    organization_id = testbed.cluster.organization_id
    assert watcher._open_endpoints() == [
        Watched(endpoint_of(each), organization_id) for each in (a, b)
    ]
    testbed.disconnect(a)
    testbed.reconcile()
    assert watcher._open_endpoints() == [Watched(endpoint_of(b), organization_id)]
    testbed.reconnect(a)
    testbed.reconcile()
    assert len(watcher._open_endpoints()) == 2


@pytest.mark.django_db
def test_an_endpoint_that_is_new_gets_a_pass_soon_and_only_once(testbed: Testbed, a):
    requested = watcher._request_first_passes(set())
    assert requested == {endpoint_of(a)}
    assert wakeup.take_deployment_ids(testbed.cluster.pk) == {wakeup.EVERYTHING}
    assert watcher._request_first_passes(requested) == requested
    assert wakeup.take_deployment_ids(testbed.cluster.pk) == set()
    testbed.reconcile()
    assert watcher._request_first_passes(requested) == set()


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_that_reports_changes_of_nothing_fills_no_memory(testbed: Testbed, a):
    """It may report ids of its own making, as many and as long as it likes."""
    testbed.reconcile()
    row = testbed.submit()
    reported = ["x" * 100_000, "", *(str(number) for number in range(40)), str(row.pk)]
    testbed.intercept(a, "watch", lambda *_: iter([None, *reported]))
    endpoint = Endpoint.objects.select_related("cluster").get(pk=endpoint_of(a))
    watcher._report_changes(endpoint, threading.Event())
    assert redis_client().smembers(wakeup._ids_key(testbed.cluster.pk)) == {"*", str(row.pk)}
    runtime_connections.disconnect(endpoint.pk)
