"""One engine that is attached to a cluster twice, by two addresses."""

from dataclasses import replace

import pytest

from clusters.models import Endpoint, Node
from clusters.services.attach import delete_node
from deployments.tests.reconciler.conftest import Site

pytestmark = pytest.mark.django_db

ERROR = "This engine is attached already, as a."


def on(site: Site, node: Node, machine: str) -> Node:
    """The same, its engine on that machine."""
    twin = site.twin(node)
    twin.nodes = [replace(each, machine=machine) for each in twin.nodes]
    return node


def states(site: Site) -> dict[str, str]:
    return {node.name: node.effective_state for node in Node.objects.filter(cluster=site.cluster)}


def error_of(node: Node) -> str:
    return Endpoint.objects.get(nodes=node).error


@pytest.fixture
def first(site: Site) -> Node:
    return on(site, site.add_node("a"), "one")


@pytest.fixture
def second(site: Site, first: Node) -> Node:
    """Attached when the first one was open."""
    site.look()
    return on(site, site.add_node("b"), "one")


def test_the_second_stays_closed_and_says_why(site: Site, first: Node, second: Node):
    rows = [site.submit(gpu=1) for _ in range(3)]
    site.settle()
    site.look(str(rows[0].pk))  # nor does a pass that looks at this one alone open it
    site.settle()
    assert states(site) == {"a": "READY", "b": "NOT_READY"}
    assert error_of(second).startswith(ERROR)
    assert error_of(first) == ""
    assert [site.status(row) for row in rows] == ["RUNNING", "RUNNING", "QUEUED"]
    assert site.twin(second).launches == []


def test_of_two_that_come_at_once_the_first_is_opened(site: Site, first: Node):
    second = on(site, site.add_node("b"), "one")
    site.look()
    assert states(site) == {"a": "READY", "b": "NOT_READY"}
    assert error_of(second).startswith(ERROR)


def test_the_second_is_opened_once_the_first_has_gone(site: Site, first: Node, second: Node):
    site.look()
    delete_node(Node.objects.select_related("cluster").get(pk=first.pk))
    site.look()
    assert states(site) == {"b": "READY"}
    assert error_of(second) == ""


@pytest.mark.parametrize("machine", ["two", ""])
def test_another_machine_or_one_that_cannot_tell_is_opened(site: Site, first: Node, machine: str):
    site.look()
    on(site, site.add_node("b"), machine)
    on(site, site.add_node("c"), machine + "x" if machine else "")
    site.look()
    assert set(states(site).values()) == {"READY"}


def test_what_is_open_already_is_not_closed(site: Site, first: Node):
    """A clone that has worked so far, or an engine that was attached twice while one was away."""
    second = site.add_node("b")
    site.look()
    on(site, second, "one")
    row = site.submit(replicas=4)
    site.settle()
    assert states(site) == {"a": "READY", "b": "READY"}
    assert site.status(row) == "RUNNING"
