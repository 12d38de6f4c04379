"""Endpoints that do not answer, or answer with errors, and nodes that are lost for it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Node, Registry
from clusters.services.nodes import cordon
from deployments.models import Deployment, DeploymentLog
from deployments.runtimes.base import LaunchSpec, ReplicaStatus, RuntimeUnavailable
from deployments.scheduling_key import key_of
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, mark_lost, reason
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


# --- Reasons while a node is away ----------------------------------------------------------------


def test_a_running_deployment_says_so_as_long_as_its_node_is_away(
    testbed: Testbed, a: Node, api, vera
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    since = Node.objects.get(pk=a.pk).not_ready_since
    assert since is not None
    found = reason(row)
    assert found["code"] == "NODE_AWAY"
    assert found["details"] == {"node": "a", "since": since.isoformat()}
    assert found["message"] == f"Its node a has not answered since {since:%Y-%m-%d %H:%M:%S} UTC."
    assert api(vera).get(f"/api/deployments/{row.pk}").json()["reason"] == found
    testbed.reconnect(a)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    assert reason(row) == {}
    assert "NOTICE" not in testbed.events(row)


def test_a_gang_names_the_node_that_is_away(testbed: Testbed, a: Node, b: Node):
    testbed.reconcile()
    row, other = testbed.submit(replicas=3), testbed.submit()
    testbed.settle()
    testbed.disconnect(b)
    testbed.reconcile()
    assert reason(row)["details"]["node"] == "b"
    home = testbed.node_of(other)
    assert (reason(other) != {}) == (home == b)


def test_a_stopping_deployment_says_so_too(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    row = testbed.submit("deaf")
    testbed.settle()
    stop_deployment(dev, testbed.fresh(row))
    assert reason(row) == {}
    testbed.disconnect(a)
    testbed.reconcile()
    assert testbed.status(row) == "STOPPING"
    assert reason(row)["code"] == "NODE_AWAY"


def test_a_victim_on_a_node_that_is_away_keeps_its_reason(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("deaf", gpu=2)
    testbed.settle()
    testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    testbed.disconnect(a)
    testbed.reconcile()
    found = reason(row)
    assert found["code"] == "PREEMPTED"
    assert found["details"]["waiting_for"]["code"] == "NODE_AWAY"
    assert found["message"].endswith(found["details"]["waiting_for"]["message"])


def test_a_waiting_deployment_says_how_many_closed_nodes_do_not_answer(
    testbed: Testbed, a: Node, b: Node
):
    elsewhere = testbed.add_node("elsewhere", labels={"zone": "b"})
    testbed.reconcile()
    cordon(Node.objects.get(pk=elsewhere.pk))
    testbed.disconnect(b)
    testbed.reconcile()
    row, picky = testbed.submit(replicas=5), testbed.submit(node_selector={"zone": "b"})
    testbed.cycle()
    found = reason(row)
    assert found["code"] == "INSUFFICIENT_CAPACITY"
    assert (found["details"]["closed_nodes"], found["details"]["away_nodes"]) == (2, 1)
    assert found["message"].endswith(" 1 node is closed. 1 node does not answer.")
    assert reason(picky)["details"]["closed_nodes"] == 1
    assert "away_nodes" not in reason(picky)["details"]
    testbed.reconnect(b)
    testbed.reconcile()
    testbed.cycle()
    assert reason(row)["details"]["closed_nodes"] == 1
    assert reason(row)["message"].endswith(" 1 node is closed.")


def test_a_node_that_a_deployment_avoids_is_no_closed_one_that_it_waits_for(
    testbed: Testbed, a: Node, b: Node
):
    c = testbed.add_node("c")
    testbed.reconcile()
    row = testbed.submit(replicas=4)
    cordon(Node.objects.get(pk=c.pk))
    testbed.disconnect(b)
    testbed.reconcile()
    Deployment.objects.filter(pk=row.pk).update(
        avoided_node_id=b.pk, avoid_until=timezone.now() + timedelta(minutes=5)
    )
    fresh = testbed.fresh(row)
    fresh.scheduling_key = key_of(fresh)
    fresh.save(update_fields=["scheduling_key"])
    testbed.cycle()
    details = reason(row)["details"]
    assert details["closed_nodes"] == 1  # c
    assert "away_nodes" not in details


@pytest.mark.parametrize("size", [1, 12])
def test_nodes_away_cost_a_page_one_query(
    testbed: Testbed, a: Node, api, vera, size, django_assert_num_queries
):
    testbed.reconcile()
    for _ in range(size):
        testbed.submit(cpu_milli=1, ram_mib=1, gpu=0)
    testbed.settle()
    testbed.disconnect(a)
    testbed.reconcile()
    client = api(vera)
    client.get("/api/deployments")
    # the caller, the planner's setting, the page, dependencies, the owners' names, those of
    # clusters and their organizations, nodes that are away
    with django_assert_num_queries(7):
        answer = client.get("/api/deployments")
    assert {row["reason"]["code"] for row in answer.json()} == {"NODE_AWAY"}
