"""Endpoints that do not answer, or with errors, and nodes that are given up for it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Node, Registry
from deployments.models import Deployment, DeploymentLog
from deployments.runtimes.base import LaunchSpec, ReplicaStatus, RuntimeUnavailable
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site, lose
from deployments.tests.reconciler.test_life import reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def test_an_endpoint_that_does_not_answer_closes_its_node_and_loses_nothing(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    node = Node.objects.select_related("endpoint").get(pk=a.pk)
    assert node.endpoint is not None
    assert node.effective_state == "NOT_READY"
    assert "away" in node.endpoint.error
    assert site.status(row) == "RUNNING"
    late = site.submit()
    site.settle()
    assert site.status(late) == "QUEUED"
    site.away(a, False)
    site.settle()
    node = Node.objects.select_related("endpoint").get(pk=a.pk)
    assert node.endpoint is not None
    assert (node.effective_state, node.not_ready_since, node.endpoint.error) == ("READY", None, "")
    assert (site.status(row), site.status(late)) == ("RUNNING", "RUNNING")
    assert site.fresh(row).attempt == 1


def test_one_that_is_to_start_there_waits_and_says_so(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.cycle()
    site.away(a)
    site.look()
    assert site.status(row) == "STARTING"
    assert reason(row)["message"] == "Its node a does not answer: it goes on as soon as it does."
    site.away(a, False)
    site.look()
    assert site.status(row) == "RUNNING"


def test_a_dead_endpoint_is_asked_less_and_less_often(site: Site, a: Node, monkeypatch):
    asked = []

    def refuse(_: object) -> list[ReplicaStatus]:
        asked.append(1)
        raise RuntimeUnavailable("away")

    monkeypatch.setattr(site.twin(a), "observe", refuse)
    for _ in range(5):
        site.look()
    assert len(asked) == 1


def test_a_gang_is_not_let_go_while_a_part_of_it_may_run_unseen(site: Site, a: Node, b: Node):
    site.look()
    row = site.submit(replicas=4)
    site.settle()
    site.away(b)
    site.twin(a).finish(site.key(row, 0), 1)
    site.look()
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.next_status) == ("STOPPING", "FAILED")
    assert allocated(site.cluster) == (4000, 2048, 4)
    site.away(b, False)
    site.look()
    site.look()
    assert site.status(row) == "FAILED"
    assert site.seen() == set()


def test_credentials_that_cannot_be_opened_lose_nothing(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    Registry.objects.create(cluster=site.cluster, host="r.test", username="x", secret="not sealed")
    site.look()
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    assert site.status(row) == "RUNNING"


def test_what_ran_on_a_lost_node_runs_elsewhere_and_its_remains_are_killed(
    site: Site, a: Node, b: Node
):
    site.look()
    row = site.submit()
    site.settle()
    home = site.node_of(row)
    old = site.key(row)
    site.away(home)
    site.look()
    assert site.status(row) == "RUNNING"
    lose(home)
    site.settle()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.attempt) == ("RUNNING", 2)
    assert (fresh.retry_count, fresh.preemption_count) == (0, 0)
    assert site.node_of(row) != home
    assert "REQUEUED" in site.events(row)
    site.away(home, False)
    site.look()
    assert old not in {each.key for each in site.twin(home).observe()}
    assert DeploymentLog.objects.filter(deployment=row, attempt=1).exists()
    assert site.status(row) == "RUNNING"


def test_whoever_was_to_stop_on_a_lost_node_has_stopped(site: Site, a: Node, dev):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    stop_deployment(dev, site.fresh(row))
    site.look()
    assert site.status(row) == "STOPPING"
    lose(a)
    site.look()
    assert site.status(row) == "STOPPED"
    assert allocated(site.cluster) == (0, 0, 0)


def test_a_gang_with_a_lost_part_leaves_as_a_whole(site: Site, a: Node, b: Node):
    site.look()
    row = site.submit(replicas=4)
    site.settle()
    site.away(b)
    site.look()
    lose(b)
    site.look()
    site.look()
    assert site.status(row) == "QUEUED"
    assert reason(row)["code"] == "NODE_LOST"
    assert site.twin(a).observe() == []


@pytest.mark.parametrize(
    ("exit_code", "status"), [(143, "QUEUED"), (137, "QUEUED"), (255, "QUEUED"), (1, "FAILED")]
)
def test_what_a_restart_of_its_engine_cut_off_is_nobodys_failure(
    site: Site, a: Node, exit_code: int, status: str
):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    site.twin(a).finish(site.key(row), exit_code)
    site.away(a, False)
    site.look()
    assert site.status(row) == status


def test_a_node_that_comes_back_is_looked_through_before_anybody_is_launched_there(
    site: Site, a: Node
):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    site.twin(a).finish(site.key(row), 137)
    other = site.submit(gpu=0)
    site.away(a, False)
    site.look(str(other.pk))  # a pass that was asked for another's sake
    assert site.status(row) == "QUEUED"
    assert reason(row)["code"] == "DISRUPTED"


def test_a_launch_that_is_answered_with_an_error_closes_nothing_and_ends_elsewhere(
    site: Site, a: Node, monkeypatch
):
    site.look()
    start = site.twin(a).start

    def disk_full(launch: LaunchSpec) -> None:
        if launch.image == "large":
            raise RuntimeUnavailable("no space left on device")
        start(launch)

    monkeypatch.setattr(site.twin(a), "start", disk_full)
    stuck, fine = site.submit("large"), site.submit()
    site.settle()
    assert (site.status(stuck), site.status(fine)) == ("STARTING", "RUNNING")
    assert "no space left on device" in reason(stuck)["message"]
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    long_ago = timezone.now() - timedelta(minutes=11)
    Deployment.objects.filter(pk=stuck.pk).update(admitted_at=long_ago)
    site.look()
    site.look()
    assert site.status(stuck) == "QUEUED"
    assert reason(stuck)["code"] == "UNSCHEDULABLE"
