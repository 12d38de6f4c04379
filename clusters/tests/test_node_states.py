"""The effective state of a node, in Python, SQL and JSON."""

from itertools import product

import pytest

from clusters.models import Node, NodeState
from clusters.queries import effective_state
from clusters.tests.allocation import make_node
from scheduler.status import status_of
from scheduler.store.snapshot_reader import read_and_decide

ALL = list(product(NodeState.values, repeat=2))
STRICTEST = {
    ("READY", "READY"): "READY",
    ("READY", "NOT_READY"): "NOT_READY",
    ("CORDONED", "READY"): "CORDONED",
    ("CORDONED", "NOT_READY"): "NOT_READY",
    ("READY", "CORDONED"): "CORDONED",
    ("DRAINING", "READY"): "DRAINING",
    ("DRAINING", "NOT_READY"): "DRAINING",
    ("NOT_READY", "CORDONED"): "NOT_READY",
}


@pytest.fixture
def every(cluster):
    """A node for each pair."""
    for number, (state, observed) in enumerate(ALL):
        make_node(cluster, name=f"n{number}", state=state, observed=observed)
    return cluster


def test_python_and_sql_agree(every):
    for node in Node.objects.annotate(now=effective_state()):
        assert node.now == node.effective_state, (node.state, node.observed)
    for pair, expected in STRICTEST.items():
        assert Node(state=pair[0], observed=pair[1]).effective_state == expected


def test_so_do_answers_counts_and_snapshots(api, vera, every):
    listed = [each["state"] for each in api(vera).get(f"/api/clusters/{every.pk}/nodes").json()]
    counted = status_of(every)["nodes"]
    assert {state: listed.count(state) for state in NodeState.values} == {
        state: counted[state.lower()] for state in NodeState.values
    }
    snapshot = read_and_decide(every.pk).snapshot
    assert [node.state for node in snapshot.nodes] == listed
