"""A cycle on a cluster with nodes: placement per node, counters per node, drains."""

import pytest

from clusters.models import Cluster, Node, NodeState
from deployments.models import Deployment, Status
from deployments.services.stop import stop_deployment
from scheduler import audit
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def nodes(cluster: Cluster) -> list[Node]:
    """Two machines of 4 GPUs, 32 cores and 256 GiB each; the second one in zone b."""
    return [
        Node.objects.create(
            cluster=cluster,
            name=name,
            labels={"zone": name},
            cpu_milli=32_000,
            ram_mib=256 * 1024,
            gpu=4,
        )
        for name in ("a", "b")
    ]


def fresh(deployment: Deployment) -> Deployment:
    return Deployment.objects.get(pk=deployment.pk)


def allocated_gpus(nodes: list[Node]) -> list[int]:
    return [Node.objects.get(pk=node.pk).allocated_gpu for node in nodes]


def test_a_gang_is_placed_whole_and_each_node_is_charged_its_share(
    cluster: Cluster, nodes: list[Node], submit: Submit
) -> None:
    row = submit("LOW", gpu=2, replicas=3)
    run_cycle(cluster)
    placement = {each["node"]: each["replicas"] for each in fresh(row).placement}
    assert sum(placement.values()) == 3
    assert allocated_gpus(nodes) == [placement["a"] * 2, placement["b"] * 2]
    assert audit.breaches() == []
    stop_deployment(row.owner, fresh(row))
    assert allocated_gpus(nodes) == [0, 0]
    assert audit.breaches() == []


def test_what_fits_in_sum_but_on_no_node_is_fragmented(
    cluster: Cluster, nodes: list[Node], submit: Submit
) -> None:
    submit("HIGH", gpu=3)
    submit("HIGH", gpu=3)
    row = submit("HIGH", gpu=2)
    outcome = run_cycle(cluster)
    assert fresh(row).status == Status.QUEUED
    assert [wait.reason.code.value for wait in outcome.plan.waits] == ["FRAGMENTED"]


def test_preemption_on_a_node_moves_that_nodes_counters(
    cluster: Cluster, nodes: list[Node], submit: Submit
) -> None:
    for _ in range(4):
        submit("LOW", gpu=2)
    run_cycle(cluster)
    high = submit("HIGH", gpu=4)
    outcome = run_cycle(cluster)
    assert len(outcome.plan.evictions) == 2
    assert fresh(high).status == Status.RUNNING
    assert allocated_gpus(nodes) == [4, 4]
    assert audit.breaches() == []
    for row in SchedulingCycle.objects.all():
        assert make_plan(decode_snapshot(bytes(row.snapshot))) == decode_plan(bytes(row.plan))


def test_a_draining_node_is_left_and_not_used(
    cluster: Cluster, nodes: list[Node], submit: Submit
) -> None:
    row = submit("LOW", gpu=4)
    run_cycle(cluster)
    on = fresh(row).placement[0]["node_id"]
    Node.objects.filter(pk=on).update(state=NodeState.DRAINING)
    run_cycle(cluster)
    assert (fresh(row).status, fresh(row).reason_code) == (Status.QUEUED, "NODE_DRAINED")
    run_cycle(cluster)
    assert fresh(row).status == Status.RUNNING
    assert fresh(row).placement[0]["node_id"] != on
    assert (fresh(row).preemption_count, fresh(row).retry_count) == (0, 0)
    assert audit.breaches() == []


def test_the_audit_finds_a_node_miscounted(
    cluster: Cluster, nodes: list[Node], submit: Submit
) -> None:
    submit("LOW", gpu=1)
    run_cycle(cluster)
    Node.objects.filter(pk=nodes[0].pk).update(allocated_cpu_milli=7)
    assert any("not the sum of what is placed there" in each for each in audit.breaches())
