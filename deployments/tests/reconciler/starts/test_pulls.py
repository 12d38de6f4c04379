"""Pulls: how many run at once, when they end, and which engines they stop."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest

from clusters.models import Node
from deployments.reconciler.starts import image_pulls
from deployments.reconciler.starts.image_pulls import PullSlots
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, endpoint_of
from mlops_platform.coordination.redis import redis_client

GENEROUS_S = 10.0


def enter(slots: PullSlots, organizations: list[UUID]) -> list[bool]:
    return [slots.enter(each, uuid4()) is not None for each in organizations]


def test_an_organization_and_an_endpoint_have_a_few_pulls_at_once():
    slots, organization, endpoint = PullSlots(), uuid4(), uuid4()
    assert enter(slots, [organization] * 8) == [True] * 4 + [False] * 4
    other = uuid4()
    taken = [slots.enter(other, endpoint) for _ in range(3)]
    assert [each is not None for each in taken] == [True, True, False]
    assert taken[0] is not None
    slots.leave(taken[0])
    assert slots.enter(other, endpoint) is not None


def test_a_pull_that_took_long_makes_way_where_all_threads_are_taken(
    monkeypatch: pytest.MonkeyPatch,
):
    slots = PullSlots()
    running = [slots.enter(uuid4(), uuid4()) for _ in range(image_pulls.MOST_AT_ONCE)]
    assert slots.enter(uuid4(), uuid4()) is None
    assert not any(each.makes_way for each in running if each)
    monkeypatch.setattr(image_pulls, "LONG_S", 0.0)
    assert slots.enter(uuid4(), uuid4()) is None
    assert [each.makes_way for each in running if each].count(True) == 1
    assert running[0] is not None
    assert running[0].makes_way
    slots.leave(running[0])
    assert slots.enter(uuid4(), uuid4()) is not None


@pytest.fixture
def pulls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The images whose pulls have ended; what is awaited is read all the time."""
    monkeypatch.setattr(image_pulls, "READ_WANTED_EVERY_S", 0.0)
    monkeypatch.setattr(image_pulls, "_slots", PullSlots())
    yield []
    _until(lambda: not image_pulls._slots._running)


def hangs(ended: list[str]) -> Callable[..., None]:
    def pull(_: object, image: str, wanted: Callable[[], bool]) -> None:
        until = time.monotonic() + GENEROUS_S
        while wanted() and time.monotonic() < until:
            time.sleep(0.02)
        ended.append(image)

    return pull


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_a_pull_ends_when_no_deployment_waits_for_it_any_more(
    testbed: Testbed, a: Node, b: Node, pulls: list[str]
):
    testbed.reconcile()
    for node in (a, b):
        testbed.runtime_of(node).missing_images.update({"left:1", "waited-for:1"})
        testbed.intercept(node, "pull", hangs(pulls))
    left, other = testbed.submit("left:1"), testbed.submit("waited-for:1")
    testbed.cycle()
    for row in (left, other):
        image_pulls.start(endpoint_of(testbed.node_of(row)), row.image)
    time.sleep(0.5)
    assert pulls == []
    stop_deployment(testbed.people["dev"], testbed.fresh(left))
    _until(lambda: pulls == ["left:1"])
    time.sleep(0.2)
    assert pulls == ["left:1"]
    stop_deployment(testbed.people["dev"], testbed.fresh(other))
    _until(lambda: len(pulls) == 2)


@pytest.mark.django_db(transaction=True)
def test_a_pull_without_a_thread_is_requested_again_by_the_next_pass(
    testbed: Testbed, a: Node, pulls: list[str]
):
    testbed.reconcile()
    taken = [
        image_pulls._slots.enter(testbed.cluster.organization_id, uuid4())
        for _ in range(image_pulls.MOST_PULLS.of_organization)
    ]
    assert image_pulls.should_request(endpoint_of(a), "train:1")
    image_pulls.start(endpoint_of(a), "train:1")
    assert not redis_client().exists(image_pulls._lock_key(endpoint_of(a), "train:1"))
    assert image_pulls.should_request(endpoint_of(a), "train:1")
    for each in taken:
        assert each is not None
        image_pulls._slots.leave(each)


@pytest.mark.django_db(transaction=True)
def test_a_pull_that_fails_in_a_way_of_its_own_gives_its_thread_back(
    testbed: Testbed, a: Node, pulls: list[str], caplog: pytest.LogCaptureFixture
):
    def pull(*_: object) -> None:
        raise RuntimeError("a bug")

    testbed.reconcile()
    testbed.intercept(a, "pull", pull)
    threads = threading.active_count()
    image_pulls.start(endpoint_of(a), "train:1")
    _until(lambda: not image_pulls._slots._running)
    assert "pull failed" in caplog.text
    _until(lambda: threading.active_count() <= threads)
