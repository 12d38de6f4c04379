"""The effective state of a node, in Python, SQL and JSON."""

from itertools import product

import pytest

from clusters.models import Node, NodeState
from clusters.queries import effective_state
from clusters.tests.allocation import make_node
from scheduler.status import status_of
from scheduler.store.snapshot_reader import read_and_decide

ALL = list(product(NodeState.values, NodeState.values, ("READY", "CORDONED")))
STRICTEST = {
    ("READY", "READY", "READY"): "READY",
    ("READY", "NOT_READY", "READY"): "NOT_READY",
    ("CORDONED", "READY", "READY"): "CORDONED",
    ("CORDONED", "NOT_READY", "READY"): "NOT_READY",
    ("READY", "CORDONED", "READY"): "CORDONED",
    ("DRAINING", "READY", "READY"): "DRAINING",
    ("DRAINING", "NOT_READY", "READY"): "DRAINING",
    ("NOT_READY", "CORDONED", "READY"): "NOT_READY",
    ("READY", "READY", "CORDONED"): "CORDONED",
    ("READY", "NOT_READY", "CORDONED"): "NOT_READY",
    ("DRAINING", "READY", "CORDONED"): "DRAINING",
    ("DRAINED", "NOT_READY", "CORDONED"): "DRAINED",
    ("DRAINED", "READY", "READY"): "DRAINED",
}


@pytest.fixture
def every(cluster):
    """A node for each triple."""
    for number, (state, observed, judged) in enumerate(ALL):
        make_node(cluster, name=f"n{number}", state=state, observed=observed, judged=judged)
    return cluster


def test_python_and_sql_agree(every):
    for node in Node.objects.annotate(now=effective_state()):
        assert node.now == node.effective_state, (node.state, node.observed, node.judged)
    for (state, observed, judged), expected in STRICTEST.items():
        assert Node(state=state, observed=observed, judged=judged).effective_state == expected


def test_so_do_answers_counts_and_snapshots(api, vera, every):
    listed = [each["state"] for each in api(vera).get(f"/api/clusters/{every.pk}/nodes").json()]
    counted = status_of(every)["nodes"]
    assert {state: listed.count(state) for state in NodeState.values} == {
        state: counted[state.lower()] for state in NodeState.values
    }
    snapshot = read_and_decide(every.pk).snapshot
    assert [node.state for node in snapshot.nodes] == [
        "CORDONED" if state == "DRAINED" else state for state in listed
    ]
