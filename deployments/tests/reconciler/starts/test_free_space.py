"""When a deployment starts on a node that victims or leftovers still occupy."""

from collections.abc import Callable
from threading import Event

import pytest

from clusters.models import Node
from deployments.models import Deployment
from deployments.runtimes.base import Key
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, mark_lost, reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def test_a_preemptor_starts_only_once_its_victims_are_gone(testbed: Testbed, a: Node):
    testbed.reconcile()
    victims = [testbed.submit("deaf", gpu=1) for _ in range(2)]
    testbed.settle()
    urgent = testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    assert [testbed.status(each) for each in victims] == ["STOPPING", "STOPPING"]
    assert testbed.status(urgent) == "STARTING"
    assert allocated(testbed.cluster) == (
        1000,
        512,
        2,
    )  # the preemptor has the victims' allocation already
    testbed.reconcile()
    assert testbed.status(urgent) == "STARTING"
    assert reason(urgent)["code"] == "WAITING_FOR_VICTIMS"
    assert reason(urgent)["details"]["count"] == 2
    testbed.runtime_of(a).finish(testbed.key(victims[0]), 0)
    testbed.reconcile()
    assert testbed.status(victims[0]) == "QUEUED"
    assert testbed.status(urgent) == "STARTING"
    testbed.expire_grace(victims[1])
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(urgent) == "RUNNING"
    for each in victims:
        fresh = testbed.fresh(each)
        assert (fresh.status, fresh.preemption_count, fresh.retry_count) == ("QUEUED", 1, 0)
        assert reason(each)["code"] == "PREEMPTED"


def test_a_preemptor_that_is_stopped_before_it_starts_leaves_room_for_the_next(
    testbed: Testbed, a: Node, dev
):
    testbed.reconcile()
    victim = testbed.submit("deaf", gpu=2)
    testbed.settle()
    urgent = testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    testbed.reconcile()
    next_one = testbed.submit(priority="HIGH", gpu=2)
    stop_deployment(dev, testbed.fresh(urgent))
    testbed.reconcile()
    assert testbed.status(urgent) == "STOPPED"
    testbed.settle()
    assert testbed.status(next_one) == "STARTING"  # the victim is still there
    assert testbed.runtime_of(a).launch_specs[-1].deployment_id == str(victim.pk)
    testbed.expire_grace(victim)
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(next_one) == "RUNNING"
    assert testbed.status(victim) == "QUEUED"


def test_a_victim_that_is_stopped_meanwhile_does_not_come_back(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    victim = testbed.submit("deaf", gpu=2)
    testbed.settle()
    urgent = testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    assert stop_deployment(dev, testbed.fresh(victim)).status == "STOPPING"
    testbed.expire_grace(victim)
    testbed.reconcile()
    testbed.reconcile()
    assert (testbed.status(victim), testbed.status(urgent)) == ("STOPPED", "RUNNING")


def test_a_deployment_that_fits_beside_victims_starts_at_once(testbed: Testbed, a: Node):
    testbed.reconcile()
    testbed.submit("deaf", gpu=2, cpu_milli=1000)
    testbed.settle()
    testbed.submit(priority="HIGH", gpu=2, cpu_milli=1000)
    small = testbed.submit(gpu=0, cpu_milli=500)
    testbed.cycle()
    testbed.reconcile()
    assert testbed.status(small) == "RUNNING"


@pytest.fixture
def killable(testbed: Testbed, a: Node) -> Event:
    """A node that was lost is back, and has a leftover of a deployment that was stopped since,
    which dies once `killable` is set."""
    testbed.reconcile()
    row = testbed.submit(gpu=1)
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    mark_lost(a)
    testbed.reconcile()
    assert testbed.status(row) == "QUEUED"
    stop_deployment(testbed.people["dev"], testbed.fresh(row))
    killable = Event()

    def stop(own: Callable[..., None], key: Key, grace_s: int, seen: str) -> None:
        if killable.is_set():
            own(key, grace_s, seen)

    testbed.intercept(a, "stop", stop)
    testbed.reconnect(a)
    testbed.reconcile()
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    return killable


def test_a_deployment_that_does_not_fit_beside_a_leftover_waits_until_it_is_gone(
    testbed: Testbed, a: Node, killable: Event
):
    row = testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    launch_specs = len(testbed.runtime_of(a).launch_specs)
    testbed.reconcile()
    assert testbed.status(row) == "STARTING"
    assert len(testbed.runtime_of(a).launch_specs) == launch_specs
    assert reason(row)["code"] == "START_DELAYED"
    assert "left on its node of earlier attempts" in reason(row)["message"]
    killable.set()
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    assert {each.key for each in testbed.runtime_of(a).observe()} == {testbed.key(row)}


def test_a_deployment_that_fits_beside_a_leftover_starts(
    testbed: Testbed, a: Node, dev, killable: Event
):
    stop_deployment(dev, Deployment.objects.get())  # else its next attempt takes the other GPU
    row = testbed.submit(priority="HIGH", gpu=1)
    testbed.cycle()
    testbed.reconcile()
    assert not killable.is_set()
    assert testbed.status(row) == "RUNNING"
