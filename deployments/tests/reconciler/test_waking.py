"""Who has a pass made, when, and over what."""

import threading
import time

import pytest
from django.utils import timezone

from clusters.models import Node
from deployments import tasks, wakeup
from deployments.lifecycle import deadlines
from deployments.models import Deployment, Status
from deployments.reconciler import circuit_breaker, image_pulls, watcher
from deployments.runtimes.base import RuntimeUnavailable
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site, endpoint_of
from mlops_platform.api.redis import redis_client
from mlops_platform.api.wakeup import try_lock

pytestmark = pytest.mark.django_db


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The looks of each pass that is made."""
    made: list[set[str]] = []

    def run_pass(_: object, looks: set[str], __: object) -> bool:
        made.append(set(looks))
        return False

    monkeypatch.setattr(tasks, "run_pass", run_pass)
    return made


def messages() -> int:
    return int(redis_client().llen("runtimes"))


def test_many_rings_make_one_pass_over_all_that_was_asked_for(site: Site, passes):
    for looks in (["x"], [], ["y", "x"]):
        wakeup.request(site.cluster.pk, looks)
    assert messages() == 1
    tasks.reconcile(str(site.cluster.pk))
    tasks.reconcile(str(site.cluster.pk))
    assert passes == [{"x", "y"}]


def test_who_finds_the_cluster_taken_leaves_the_ring_to_the_holder(site: Site, passes):
    wakeup.request(site.cluster.pk, ["x"])
    with try_lock(f"cluster:{site.cluster.pk}:reconciling", 5):
        tasks.reconcile(str(site.cluster.pk))
    assert passes == []
    assert wakeup.is_flag_set(site.cluster.pk)


def test_a_ring_during_a_pass_makes_another(site: Site, monkeypatch):
    made = []

    def ring_again(*_: object) -> bool:
        made.append(1)
        if len(made) == 1:
            wakeup.request(site.cluster.pk, ["late"])
        return False

    monkeypatch.setattr(tasks, "run_pass", ring_again)
    wakeup.request(site.cluster.pk)
    before = messages()
    tasks.reconcile(str(site.cluster.pk))
    assert messages() > before
    tasks.reconcile(str(site.cluster.pk))
    assert len(made) == 2


def test_a_pass_that_has_more_to_do_is_followed_by_another(site: Site, monkeypatch):
    monkeypatch.setattr(tasks, "run_pass", lambda *_: True)
    wakeup.request(site.cluster.pk)
    tasks.reconcile(str(site.cluster.pk))
    assert wakeup.is_flag_set(site.cluster.pk)
    assert messages() == 2


def test_every_cluster_with_endpoints_is_looked_through_now_and_then(site: Site, a: Node, cluster):
    tasks.look_everywhere()
    assert wakeup.take_looks(site.cluster.pk) == {"*"}
    assert wakeup.take_looks(cluster.pk) == set()
    assert messages() == 1


def test_a_plan_a_stop_and_a_grace_that_is_over_wake_the_runtime(
    site: Site, a: Node, dev, django_capture_on_commit_callbacks
):
    def woken() -> bool:
        return wakeup.clear_flag(site.cluster.pk) is not None

    site.look()
    row = site.submit("deaf")
    with django_capture_on_commit_callbacks(execute=True):
        site.cycle()
    assert woken()
    site.look()
    with django_capture_on_commit_callbacks(execute=True):
        stop_deployment(dev, site.fresh(row))
    assert woken()
    site.look()
    deadlines.wake_overdue(timezone.now())
    assert not woken()
    site.overdue(row)
    deadlines.wake_overdue(timezone.now())
    assert woken()


def test_a_simulated_cluster_wakes_nobody(cluster, dev, django_capture_on_commit_callbacks):
    from deployments.services.submit import create_deployment
    from scheduler.tests.conftest import run_cycle

    spec = {"image": "x", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0}
    row = create_deployment(dev, cluster.pk, spec).deployment
    with django_capture_on_commit_callbacks(execute=True):
        run_cycle(cluster)
        stop_deployment(dev, Deployment.objects.get(pk=row.pk))
    assert not wakeup.is_flag_set(cluster.pk)


def test_redis_away_is_no_error(site: Site, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    wakeup.request(site.cluster.pk, ["x"])


# --- Endpoints that come, go and speak ---------------------------------------------------------


def wait_for(condition, within_s: float = 5.0) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_what_an_endpoint_tells_is_looked_at(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    wakeup.take_looks(site.cluster.pk)
    watchers = watcher.Watchers()
    watchers.start()
    try:
        looks: set[str] = set()

        def looked_at(what: str) -> bool:
            looks.update(wakeup.take_looks(site.cluster.pk))
            return what in looks

        wait_for(lambda: looked_at("*"))
        site.twin(a).finish(site.key(row), 0)
        wait_for(lambda: looked_at(str(row.pk)))
    finally:
        watchers.stop()


@pytest.mark.django_db(transaction=True)
def test_one_that_goes_away_and_comes_back_is_looked_through(site: Site, a: Node, monkeypatch):
    monkeypatch.setattr(watcher, "PAUSE_S", 0.01)
    site.away(a)
    circuit_breaker.failed(endpoint_of(a))
    stop = threading.Event()
    thread = threading.Thread(target=watcher._watch, args=(endpoint_of(a), stop))
    thread.start()
    try:
        wait_for(lambda: "*" in wakeup.take_looks(site.cluster.pk))
        site.twin(a).unavailable = False
        wait_for(lambda: not circuit_breaker.is_open(endpoint_of(a)))
    finally:
        stop.set()
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_the_watcher_of_an_endpoint_that_is_gone_ends(site: Site, a: Node):
    watchers = watcher.Watchers()
    watchers._follow({endpoint_of(a)})
    before = dict(watchers._watched)
    watchers._follow(set())
    assert watchers._watched == {}
    assert before[endpoint_of(a)].is_set()


# --- Images ------------------------------------------------------------------------------------


def test_an_image_is_pulled_once_at_a_time(site: Site, a: Node):
    assert image_pulls.begin(endpoint_of(a), "train:1")
    assert not image_pulls.begin(endpoint_of(a), "train:1")
    assert image_pulls.begin(endpoint_of(a), "train:2")
    image_pulls.pull(endpoint_of(a), "train:1")
    assert image_pulls.begin(endpoint_of(a), "train:1")


def test_a_pull_that_is_cut_off_fails_nobody(site: Site, a: Node, monkeypatch):
    site.look()
    site.twin(a).missing_images.add("sleep")
    row = site.submit()
    site.cycle()

    def cut_off(_: str) -> None:
        raise RuntimeUnavailable("in the middle")

    monkeypatch.setattr(site.twin(a), "pull", cut_off)
    site.look()
    assert site.status(row) == Status.STARTING
    monkeypatch.undo()
    circuit_breaker.answered(endpoint_of(a))


def test_the_breaker_opens_for_longer_each_time_and_closes_with_an_answer(site: Site, a: Node):
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


def test_a_lock_is_renewed_while_its_work_goes_on_and_free_soon_after_its_holder_died():
    with try_lock("long", 0.3, renew=True) as held:
        assert held
        time.sleep(0.6)
        with try_lock("long", 0.3) as other:
            assert not other
    dead = try_lock("dead", 0.2)
    assert dead.__enter__()
    time.sleep(0.3)
    with try_lock("dead", 0.3) as held:
        assert held


def test_a_pull_whose_worker_died_is_begun_again_soon(site: Site, a: Node):
    assert image_pulls.begin(endpoint_of(a), "x")
    assert 0 < redis_client().ttl(image_pulls._asked(endpoint_of(a), "x")) <= 30
    with try_lock(image_pulls._lock(endpoint_of(a), "x"), 5):
        redis_client().delete(image_pulls._asked(endpoint_of(a), "x"))
        assert not image_pulls.begin(endpoint_of(a), "x")
    assert image_pulls.begin(endpoint_of(a), "x")
