"""Where a cluster has no capacity yet, nothing that waits there is said to ask for too much."""

from dataclasses import replace

import pytest

from scheduler.engine.snapshot import NOT_READY, Snapshot, Workload
from scheduler.tests.engine.build import job, node, pool, rack
from scheduler.tests.engine.cases.test_whole_nodes import whole
from scheduler.tests.engine.plans import plan

EMPTY = pool(0, 0, 0)
SILENT = rack([node(name, gpu=0, cpu=0, ram=0, state=NOT_READY) for name in ("a", "b")])


@pytest.mark.parametrize(("cluster", "nodes"), [(EMPTY, 0), (SILENT, 2)], ids=["none", "silent"])
@pytest.mark.parametrize(
    "workload",
    [
        job(gpu=1),
        job(cpu=1, high=True),
        job(gpu=1, replicas=4),
        job(gpu=1, selector={"zone": "x"}),
        whole(gpu=8),
    ],
    ids=["one", "high", "gang", "labelled", "whole"],
)
def test_what_waits_learns_that_the_cluster_has_nothing_yet(
    cluster: Snapshot, nodes: int, workload: Workload
) -> None:
    [wait] = plan(replace(cluster, queued=(workload,))).waits
    assert (wait.reason.code, wait.reason.details) == ("NO_CAPACITY_YET", {"nodes": nodes})


def test_one_node_of_known_size_is_capacity() -> None:
    large = job(gpu=16)
    made = plan(rack([*SILENT.nodes, node("c")], queued=[large]))
    assert made.waits[0].reason.code == "EXCEEDS_CAPACITY"
