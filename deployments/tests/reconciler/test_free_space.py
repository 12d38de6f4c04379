"""Who starts where others are still leaving, and when."""

import pytest

from clusters.models import Node
from deployments.reconciler import garbage
from deployments.reconciler.observation import Observation
from deployments.runtimes.base import Key
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site, lose
from deployments.tests.reconciler.test_life import reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def test_a_preemptor_starts_only_once_its_victims_are_gone(site: Site, a: Node):
    site.look()
    victims = [site.submit("deaf", gpu=1) for _ in range(2)]
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    assert [site.status(each) for each in victims] == ["STOPPING", "STOPPING"]
    assert site.status(urgent) == "STARTING"
    assert allocated(site.cluster) == (1000, 512, 2)  # theirs is the preemptor's already
    site.look()
    assert site.status(urgent) == "STARTING"
    assert reason(urgent)["code"] == "WAITING_FOR_VICTIMS"
    assert reason(urgent)["details"]["count"] == 2
    site.twin(a).finish(site.key(victims[0]), 0)
    site.look()
    assert site.status(victims[0]) == "QUEUED"
    assert site.status(urgent) == "STARTING"
    site.overdue(victims[1])
    site.look()
    site.look()
    assert site.status(urgent) == "RUNNING"
    for each in victims:
        fresh = site.fresh(each)
        assert (fresh.status, fresh.preemption_count, fresh.retry_count) == ("QUEUED", 1, 0)
        assert reason(each)["code"] == "PREEMPTED"


def test_a_preemptor_that_is_stopped_before_it_starts_leaves_room_for_the_next(
    site: Site, a: Node, dev
):
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    site.look()
    next_one = site.submit(priority="HIGH", gpu=2)
    stop_deployment(dev, site.fresh(urgent))
    site.look()
    assert site.status(urgent) == "STOPPED"
    site.settle()
    assert site.status(next_one) == "STARTING"  # the victim is still there
    assert site.twin(a).launches[-1].deployment_id == str(victim.pk)
    site.overdue(victim)
    site.look()
    site.look()
    assert site.status(next_one) == "RUNNING"
    assert site.status(victim) == "QUEUED"


def test_a_victim_that_is_stopped_meanwhile_does_not_come_back(site: Site, a: Node, dev):
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    assert stop_deployment(dev, site.fresh(victim)).status == "STOPPING"
    site.overdue(victim)
    site.look()
    site.look()
    assert (site.status(victim), site.status(urgent)) == ("STOPPED", "RUNNING")


def test_others_on_a_node_start_beside_those_that_leave_where_there_is_room(site: Site, a: Node):
    site.look()
    site.submit("deaf", gpu=2, cpu_milli=1000)
    site.settle()
    site.submit(priority="HIGH", gpu=2, cpu_milli=1000)
    small = site.submit(gpu=0, cpu_milli=500)
    site.cycle()
    site.look()
    assert site.status(small) == "RUNNING"


@pytest.fixture
def remains(site: Site, a: Node, monkeypatch: pytest.MonkeyPatch) -> Key:
    """Of one that was lost with its node, which is back, and full of it. It does not die at once,
    and a cycle comes in between."""
    site.look()
    row = site.submit(gpu=1)
    site.settle()
    left = site.key(row)
    site.away(a)
    site.look()
    lose(a)
    site.look()
    assert site.status(row) == "QUEUED"
    clear, kill, kills = garbage.clear, site.twin(a).stop, iter([False])

    def then_plan(seen: Observation) -> garbage.Cleared:
        cleared = clear(seen)
        site.cycle()
        return cleared

    def take_time(key: Key, grace_s: int) -> None:
        if next(kills, True):
            kill(key, grace_s)

    monkeypatch.setattr(garbage, "clear", then_plan)
    monkeypatch.setattr(site.twin(a), "stop", take_time)
    site.away(a, False)
    return left


def test_nobody_is_launched_beside_remains_for_which_there_is_no_room(
    site: Site, a: Node, remains: Key
):
    row = site.submit(priority="HIGH", gpu=2)
    launches = len(site.twin(a).launches)
    site.look()
    assert site.status(row) == "STARTING"
    assert len(site.twin(a).launches) == launches
    assert reason(row)["code"] == "START_DELAYED"
    assert "left on its node of earlier attempts" in reason(row)["message"]
    site.look()
    assert site.status(row) == "RUNNING"
    assert {each.key for each in site.twin(a).observe()} == {site.key(row)}


def test_whoever_fits_beside_remains_is_launched(site: Site, a: Node, remains: Key):
    row = site.submit(priority="HIGH", gpu=1)
    site.look()
    assert site.status(row) == "RUNNING"
