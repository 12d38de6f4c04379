"""Endpoints that do not answer: what those are told who run, stop and start there, or wait."""

import pytest

from clusters.models import Node
from clusters.services.nodes import cordon
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site
from deployments.tests.reconciler.test_life import reason

pytestmark = pytest.mark.django_db


def test_one_that_runs_there_says_so_as_long_as_it_is_away(site: Site, a: Node, api, vera):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    since = Node.objects.get(pk=a.pk).not_ready_since
    assert since is not None
    told = reason(row)
    assert told["code"] == "NODE_AWAY"
    assert told["details"] == {"node": "a", "since": since.isoformat()}
    assert told["message"] == f"Its node a has not answered since {since:%Y-%m-%d %H:%M:%S} UTC."
    assert api(vera).get(f"/api/deployments/{row.pk}").json()["reason"] == told
    site.away(a, False)
    site.look()
    assert site.status(row) == "RUNNING"
    assert reason(row) == {}
    assert "NOTICE" not in site.events(row)


def test_of_a_gang_the_node_that_is_away_is_named(site: Site, a: Node, b: Node):
    site.look()
    row, other = site.submit(replicas=3), site.submit()
    site.settle()
    site.away(b)
    site.look()
    assert reason(row)["details"]["node"] == "b"
    home = site.node_of(other)
    assert (reason(other) != {}) == (home == b)


def test_one_that_stops_there_says_so_too(site: Site, a: Node, dev):
    site.look()
    row = site.submit("deaf")
    site.settle()
    stop_deployment(dev, site.fresh(row))
    assert reason(row) == {}
    site.away(a)
    site.look()
    assert site.status(row) == "STOPPING"
    assert reason(row)["code"] == "NODE_AWAY"


def test_one_that_was_evicted_there_keeps_why(site: Site, a: Node):
    site.look()
    row = site.submit("deaf", gpu=2)
    site.settle()
    site.submit(priority="HIGH", gpu=2)
    site.cycle()
    site.away(a)
    site.look()
    told = reason(row)
    assert told["code"] == "PREEMPTED"
    assert told["details"]["waiting_for"]["code"] == "NODE_AWAY"
    assert told["message"].endswith(told["details"]["waiting_for"]["message"])


def test_who_waits_is_told_which_closed_nodes_do_not_answer(site: Site, a: Node, b: Node):
    elsewhere = site.add_node("elsewhere", labels={"zone": "b"})
    site.look()
    cordon(Node.objects.get(pk=elsewhere.pk))
    site.away(b)
    site.look()
    row, picky = site.submit(replicas=5), site.submit(node_selector={"zone": "b"})
    site.cycle()
    told = reason(row)
    assert told["code"] == "INSUFFICIENT_CAPACITY"
    assert (told["details"]["closed_nodes"], told["details"]["away_nodes"]) == (2, 1)
    assert told["message"].endswith(" 1 node is closed. 1 node does not answer.")
    assert reason(picky)["details"]["closed_nodes"] == 1
    assert "away_nodes" not in reason(picky)["details"]
    site.away(b, False)
    site.look()
    site.cycle()
    assert reason(row)["details"]["closed_nodes"] == 1
    assert reason(row)["message"].endswith(" 1 node is closed.")


@pytest.mark.parametrize("size", [1, 12])
def test_it_costs_a_page_one_query(site: Site, a: Node, api, vera, size, django_assert_num_queries):
    site.look()
    for _ in range(size):
        site.submit(cpu_milli=1, ram_mib=1, gpu=0)
    site.settle()
    site.away(a)
    site.look()
    client = api(vera)
    client.get("/api/deployments")
    with django_assert_num_queries(4):  # the caller, the page, dependencies, nodes that are away
        answer = client.get("/api/deployments")
    assert {row["reason"]["code"] for row in answer.json()} == {"NODE_AWAY"}
