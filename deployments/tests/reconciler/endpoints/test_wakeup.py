"""What requests a pass, when, and over which deployments."""

import threading
import time
from collections.abc import Callable, Collection

import pytest

from clusters.models import Node
from deployments import tasks, wakeup
from deployments.lifecycle import due
from deployments.models import Deployment, Status
from deployments.reconciler import circuit_breaker, watcher
from deployments.reconciler.starts import image_pulls
from deployments.runtimes.base import RuntimeUnavailable
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, endpoint_of
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client

pytestmark = pytest.mark.django_db


@pytest.fixture
def passes() -> list[set[str]]:
    """The deployment ids of each pass that `reconcile` makes."""
    return []


@pytest.fixture
def reconcile(testbed: Testbed, passes: list[set[str]]) -> Callable[[], None]:
    """Runs the task with a pass that only records its deployment ids."""

    def run_pass(_: object, deployment_ids: Collection[str], __: object) -> bool:
        passes.append(set(deployment_ids))
        return False

    return lambda: tasks.reconcile(str(testbed.cluster.pk), run_pass)


def messages() -> int:
    return int(redis_client().llen("runtimes"))


def test_many_requests_make_one_pass_over_all_deployments_requested(
    testbed: Testbed, passes, reconcile
):
    for deployment_ids in (["x"], [], ["y", "x"]):
        wakeup.request(testbed.cluster.pk, deployment_ids)
    assert messages() == 1
    reconcile()
    reconcile()
    assert passes == [{"x", "y"}]


def test_a_worker_that_finds_the_cluster_locked_leaves_the_request_to_the_locks_owner(
    testbed: Testbed, passes, reconcile
):
    wakeup.request(testbed.cluster.pk, ["x"])
    with try_lock(f"cluster:{testbed.cluster.pk}:reconciling"):
        reconcile()
    assert passes == []
    assert wakeup.is_flag_set(testbed.cluster.pk)


def test_a_request_during_a_pass_makes_another_pass(testbed: Testbed):
    made = []

    def request_again(*_: object) -> bool:
        made.append(1)
        if len(made) == 1:
            wakeup.request(testbed.cluster.pk, ["late"])
        return False

    wakeup.request(testbed.cluster.pk)
    before = messages()
    tasks.reconcile(str(testbed.cluster.pk), request_again)
    assert messages() > before
    tasks.reconcile(str(testbed.cluster.pk), request_again)
    assert len(made) == 2


def test_a_pass_that_has_more_to_do_is_followed_by_another(testbed: Testbed):
    wakeup.request(testbed.cluster.pk)
    tasks.reconcile(str(testbed.cluster.pk), lambda *_: True)
    assert wakeup.is_flag_set(testbed.cluster.pk)
    assert messages() == 2


def test_every_cluster_with_endpoints_gets_a_full_pass_now_and_then(
    testbed: Testbed, a: Node, cluster
):
    tasks.look_everywhere()
    assert wakeup.take_deployment_ids(testbed.cluster.pk) == {"*"}
    assert wakeup.take_deployment_ids(cluster.pk) == set()
    assert messages() == 1


def test_a_plan_a_stop_and_a_grace_that_is_over_wake_the_runtime(
    testbed: Testbed, a: Node, dev, django_capture_on_commit_callbacks
):
    def was_requested() -> bool:
        return wakeup.clear_flag(testbed.cluster.pk) is not None

    testbed.reconcile()
    row = testbed.submit("deaf")
    with django_capture_on_commit_callbacks(execute=True):
        testbed.cycle()
    assert was_requested()
    testbed.reconcile()
    with django_capture_on_commit_callbacks(execute=True):
        stop_deployment(dev, testbed.fresh(row))
    assert was_requested()
    testbed.reconcile()
    due.wake_all()
    assert not was_requested()
    testbed.expire_grace(row)
    due.wake_all()
    assert was_requested()


def test_a_simulated_cluster_requests_no_pass(cluster, dev, django_capture_on_commit_callbacks):
    from deployments.services.submit import create_deployment
    from scheduler.tests.conftest import run_cycle

    spec = {"image": "x", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0}
    row = create_deployment(dev, cluster.pk, spec).deployment
    with django_capture_on_commit_callbacks(execute=True):
        run_cycle(cluster)
        stop_deployment(dev, Deployment.objects.get(pk=row.pk))
    assert not wakeup.is_flag_set(cluster.pk)


def test_redis_away_is_a_warning_and_no_error(testbed: Testbed, settings, tmp_path, caplog):
    settings.REDIS_URL = f"unix://{tmp_path}/missing.sock"
    wakeup.request(testbed.cluster.pk, ["x"])
    assert "runtime not woken: redis is away" in caplog.text


# --- Endpoints that come, go and report changes ------------------------------------------------


def wait_for(condition, within_s: float = 5.0) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_a_change_that_an_endpoint_reports_requests_a_pass(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    wakeup.take_deployment_ids(testbed.cluster.pk)
    watchers = watcher.Watchers()
    watchers.start()
    try:
        requested: set[str] = set()

        def is_requested(deployment_id: str) -> bool:
            requested.update(wakeup.take_deployment_ids(testbed.cluster.pk))
            return deployment_id in requested

        wait_for(lambda: is_requested("*"))
        testbed.runtime_of(a).finish(testbed.key(row), 0)
        wait_for(lambda: is_requested(str(row.pk)))
    finally:
        watchers.stop()


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_that_goes_away_and_returns_gets_a_full_pass(testbed: Testbed, a: Node):
    testbed.disconnect(a)
    circuit_breaker.failed(endpoint_of(a))
    stop = threading.Event()
    thread = threading.Thread(target=watcher.watch, args=(endpoint_of(a), stop, 0.01))
    thread.start()
    try:
        wait_for(lambda: "*" in wakeup.take_deployment_ids(testbed.cluster.pk))
        testbed.runtime_of(a).unavailable = False
        wait_for(lambda: not circuit_breaker.is_open(endpoint_of(a)))
    finally:
        stop.set()
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_the_watch_of_a_deleted_endpoint_ends(testbed: Testbed, a: Node):
    watchers = watcher.Watchers()
    watchers.update([watcher.Watched(endpoint_of(a), testbed.cluster.organization_id)])
    before = dict(watchers.stops)
    watchers.update([])
    assert watchers.stops == {}
    assert before[endpoint_of(a)].is_set()


# --- Images ------------------------------------------------------------------------------------


def test_an_image_is_pulled_once_at_a_time(testbed: Testbed, a: Node):
    assert image_pulls.should_request(endpoint_of(a), "train:1")
    assert not image_pulls.should_request(endpoint_of(a), "train:1")
    assert image_pulls.should_request(endpoint_of(a), "train:2")
    image_pulls.pull(endpoint_of(a), "train:1")
    assert image_pulls.should_request(endpoint_of(a), "train:1")


def test_a_pull_that_is_cut_off_fails_no_deployment(testbed: Testbed, a: Node):
    testbed.reconcile()
    testbed.runtime_of(a).missing_images.add("sleep")
    row = testbed.submit()
    testbed.cycle()

    def pull(*_: object) -> None:
        raise RuntimeUnavailable("in the middle")

    testbed.intercept(a, "pull", pull)
    testbed.reconcile()
    assert testbed.status(row) == Status.STARTING


def test_the_circuit_breaker_opens_for_longer_each_time_and_closes_with_an_answer(
    testbed: Testbed, a: Node
):
    def pause_ms() -> int:
        return int(redis_client().pttl(f"endpoint:{endpoint_of(a)}:open"))

    pauses = []
    for _ in range(7):
        circuit_breaker.failed(endpoint_of(a))
        pauses.append(round(pause_ms() / 1000))
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    circuit_breaker.answered(endpoint_of(a))
    assert not circuit_breaker.is_open(endpoint_of(a))


# --- Locks -------------------------------------------------------------------------------------


def test_a_lock_is_renewed_during_the_work_and_free_soon_after_its_owner_died():
    with try_lock("long", lock_s=0.5) as locked:
        assert locked
        time.sleep(1.0)
        with try_lock("long") as other:
            assert not other
    redis_client().set("dead", "its token", px=500)
    with try_lock("dead") as locked:
        assert not locked
    time.sleep(0.6)
    with try_lock("dead") as locked:
        assert locked


def test_a_lock_that_redis_has_lost_meanwhile_is_another_workers():
    with try_lock("lost", lock_s=0.3) as locked:
        assert locked
        redis_client().set("lost", "another worker's")
        time.sleep(0.4)
        assert redis_client().ttl("lost") == -1
    assert redis_client().get("lost") == "another worker's"


def test_a_pull_whose_worker_died_is_requested_again_soon(testbed: Testbed, a: Node):
    assert image_pulls.should_request(endpoint_of(a), "x")
    assert 0 < redis_client().ttl(image_pulls._request_key(endpoint_of(a), "x")) <= 30
    with try_lock(image_pulls._lock_key(endpoint_of(a), "x")):
        redis_client().delete(image_pulls._request_key(endpoint_of(a), "x"))
        assert not image_pulls.should_request(endpoint_of(a), "x")
    assert image_pulls.should_request(endpoint_of(a), "x")
