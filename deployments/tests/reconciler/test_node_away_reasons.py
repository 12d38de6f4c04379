"""The reasons that deployments give while the node they are on, or wait for, does not answer."""

import pytest

from clusters.models import Node
from clusters.services.nodes import cordon
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Testbed
from deployments.tests.reconciler.test_life import reason

pytestmark = pytest.mark.django_db


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
    with django_assert_num_queries(4):  # the caller, the page, dependencies, nodes that are away
        answer = client.get("/api/deployments")
    assert {row["reason"]["code"] for row in answer.json()} == {"NODE_AWAY"}
