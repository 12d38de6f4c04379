"""Endpoints that do not answer, or answer with errors, and nodes that are lost for it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Node, Registry
from deployments.models import Deployment, DeploymentLog
from deployments.runtimes.base import LaunchSpec, ReplicaStatus, RuntimeUnavailable
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Testbed, mark_lost
from deployments.tests.reconciler.test_life import reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def test_an_endpoint_that_does_not_answer_closes_its_node_and_loses_no_deployment(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    node = Node.objects.select_related("endpoint").get(pk=a.pk)
    assert node.endpoint is not None
    assert node.effective_state == "NOT_READY"
    assert "away" in node.endpoint.error
    assert testbed.status(row) == "RUNNING"
    late = testbed.submit()
    testbed.settle()
    assert testbed.status(late) == "QUEUED"
    testbed.reconnect(a)
    testbed.settle()
    node = Node.objects.select_related("endpoint").get(pk=a.pk)
    assert node.endpoint is not None
    assert (node.effective_state, node.not_ready_since, node.endpoint.error) == ("READY", None, "")
    assert (testbed.status(row), testbed.status(late)) == ("RUNNING", "RUNNING")
    assert testbed.fresh(row).attempt == 1


def test_a_deployment_that_starts_on_a_node_that_is_away_waits_and_says_so(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.cycle()
    testbed.disconnect(a)
    testbed.reconcile()
    assert testbed.status(row) == "STARTING"
    assert reason(row)["message"] == "Its node a does not answer: it goes on as soon as it does."
    testbed.reconnect(a)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"


def test_a_dead_endpoint_is_called_less_and_less_often(testbed: Testbed, a: Node):
    calls = []

    def observe(*_: object) -> list[ReplicaStatus]:
        calls.append(1)
        raise RuntimeUnavailable("away")

    testbed.intercept(a, "observe", observe)
    for _ in range(5):
        testbed.reconcile()
    assert len(calls) == 1


def test_a_gang_stays_stopping_while_a_replica_may_run_unseen(testbed: Testbed, a: Node, b: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=4)
    testbed.settle()
    testbed.disconnect(b)
    testbed.runtime_of(a).finish(testbed.key(row, 0), 1)
    testbed.reconcile()
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.next_status) == ("STOPPING", "FAILED")
    assert allocated(testbed.cluster) == (4000, 2048, 4)
    testbed.reconnect(b)
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(row) == "FAILED"
    assert testbed.replicas() == set()


def test_credentials_that_cannot_be_decrypted_lose_no_deployment(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    Registry.objects.create(
        cluster=testbed.cluster, host="r.test", username="x", secret="not sealed"
    )
    testbed.reconcile()
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    assert testbed.status(row) == "RUNNING"


def test_a_deployment_on_a_lost_node_runs_elsewhere_and_its_leftover_is_killed(
    testbed: Testbed, a: Node, b: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    home = testbed.node_of(row)
    old = testbed.key(row)
    testbed.disconnect(home)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    mark_lost(home)
    testbed.settle()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.attempt) == ("RUNNING", 2)
    assert (fresh.retry_count, fresh.preemption_count) == (0, 0)
    assert testbed.node_of(row) != home
    assert "REQUEUED" in testbed.events(row)
    testbed.reconnect(home)
    testbed.reconcile()
    assert old not in {each.key for each in testbed.runtime_of(home).observe()}
    assert DeploymentLog.objects.filter(deployment=row, attempt=1).exists()
    assert testbed.status(row) == "RUNNING"


def test_a_deployment_that_was_stopping_on_a_lost_node_has_stopped(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.disconnect(a)
    stop_deployment(dev, testbed.fresh(row))
    testbed.reconcile()
    assert testbed.status(row) == "STOPPING"
    mark_lost(a)
    testbed.reconcile()
    assert testbed.status(row) == "STOPPED"
    assert allocated(testbed.cluster) == (0, 0, 0)


def test_a_gang_with_a_lost_replica_is_requeued_as_a_whole(testbed: Testbed, a: Node, b: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=4)
    testbed.settle()
    testbed.disconnect(b)
    testbed.reconcile()
    mark_lost(b)
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(row) == "QUEUED"
    assert reason(row)["code"] == "NODE_LOST"
    assert testbed.runtime_of(a).observe() == []


@pytest.mark.parametrize(
    ("exit_code", "status"), [(143, "QUEUED"), (137, "QUEUED"), (255, "QUEUED"), (1, "FAILED")]
)
def test_a_deployment_that_a_restart_of_its_engine_cut_off_has_not_failed(
    testbed: Testbed, a: Node, exit_code: int, status: str
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    testbed.runtime_of(a).finish(testbed.key(row), exit_code)
    testbed.reconnect(a)
    testbed.reconcile()
    assert testbed.status(row) == status


def test_a_node_that_returns_is_observed_whole_before_a_deployment_starts_there(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    testbed.runtime_of(a).finish(testbed.key(row), 137)
    other = testbed.submit(gpu=0)
    testbed.reconnect(a)
    testbed.reconcile(str(other.pk))  # a pass over another deployment
    assert testbed.status(row) == "QUEUED"
    assert reason(row)["code"] == "DISRUPTED"


def test_a_start_that_is_answered_with_an_error_leaves_the_node_open_and_is_requeued(
    testbed: Testbed, a: Node
):
    testbed.reconcile()

    def start(own: Callable[[LaunchSpec], None], launch_spec: LaunchSpec) -> None:
        if launch_spec.image == "large":
            raise RuntimeUnavailable("no space left on device")
        own(launch_spec)

    testbed.intercept(a, "start", start)
    stuck, fine = testbed.submit("large"), testbed.submit()
    testbed.settle()
    assert (testbed.status(stuck), testbed.status(fine)) == ("STARTING", "RUNNING")
    assert "no space left on device" in reason(stuck)["message"]
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    long_ago = timezone.now() - timedelta(minutes=11)
    Deployment.objects.filter(pk=stuck.pk).update(admitted_at=long_ago)
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(stuck) == "QUEUED"
    assert reason(stuck)["code"] == "UNSCHEDULABLE"
