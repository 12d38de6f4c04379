"""One engine that is attached to a cluster twice, by two addresses."""

from dataclasses import replace

import pytest

from clusters.models import Endpoint, Node
from clusters.services.attach import delete_node
from deployments.tests.reconciler.testbed import Testbed

pytestmark = pytest.mark.django_db

ERROR = "This engine is attached already, as a."


def on(testbed: Testbed, node: Node, machine: str) -> Node:
    """The node, its engine on that machine."""
    runtime = testbed.runtime_of(node)
    runtime.nodes = [replace(each, machine=machine) for each in runtime.nodes]
    return node


def states(testbed: Testbed) -> dict[str, str]:
    return {
        node.name: node.effective_state for node in Node.objects.filter(cluster=testbed.cluster)
    }


def error_of(node: Node) -> str:
    return Endpoint.objects.get(nodes=node).error


@pytest.fixture
def first(testbed: Testbed) -> Node:
    return on(testbed, testbed.add_node("a"), "one")


@pytest.fixture
def second(testbed: Testbed, first: Node) -> Node:
    """Attached while the first node was open."""
    testbed.reconcile()
    return on(testbed, testbed.add_node("b"), "one")


def test_the_second_node_stays_closed_and_says_why(testbed: Testbed, first: Node, second: Node):
    rows = [testbed.submit(gpu=1) for _ in range(3)]
    testbed.settle()
    testbed.reconcile(str(rows[0].pk))  # a pass over one deployment does not open it either
    testbed.settle()
    assert states(testbed) == {"a": "READY", "b": "NOT_READY"}
    assert error_of(second).startswith(ERROR)
    assert error_of(first) == ""
    assert [testbed.status(row) for row in rows] == ["RUNNING", "RUNNING", "QUEUED"]
    assert testbed.runtime_of(second).launch_specs == []


def test_of_two_nodes_attached_at_once_the_first_opens(testbed: Testbed, first: Node):
    second = on(testbed, testbed.add_node("b"), "one")
    testbed.reconcile()
    assert states(testbed) == {"a": "READY", "b": "NOT_READY"}
    assert error_of(second).startswith(ERROR)


def test_the_second_node_opens_once_the_first_is_deleted(
    testbed: Testbed, first: Node, second: Node
):
    testbed.reconcile()
    delete_node(Node.objects.select_related("cluster").get(pk=first.pk))
    testbed.reconcile()
    assert states(testbed) == {"b": "READY"}
    assert error_of(second) == ""


@pytest.mark.parametrize("machine", ["two", ""])
def test_a_node_on_another_or_an_unknown_machine_opens(testbed: Testbed, first: Node, machine: str):
    testbed.reconcile()
    on(testbed, testbed.add_node("b"), machine)
    on(testbed, testbed.add_node("c"), machine + "x" if machine else "")
    testbed.reconcile()
    assert set(states(testbed).values()) == {"READY"}


def test_a_node_that_is_open_already_stays_open(testbed: Testbed, first: Node):
    """The machine may be a clone, or its engine was attached twice while one endpoint was away."""
    second = testbed.add_node("b")
    testbed.reconcile()
    on(testbed, second, "one")
    row = testbed.submit(replicas=4)
    testbed.settle()
    assert states(testbed) == {"a": "READY", "b": "READY"}
    assert testbed.status(row) == "RUNNING"
