"""Nodes that are closed, emptied, shrunk and deleted while deployments run on them."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from clusters.models import Cluster, Node, State
from clusters.services import nodes
from clusters.services.clusters import change_cluster
from clusters.tests.allocation import make_node, totals
from deployments.models import Deployment, EventType, Status
from deployments.reasons.reader import reasons_for
from deployments.services.stop import stop_deployment
from scheduler import audit
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.queries import overlooked_clusters
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_order(db: None) -> Iterator[None]:
    """Whatever a test does, all is in order after it, and every cycle replays."""
    yield
    assert audit.breaches() == []
    for row in SchedulingCycle.objects.all():
        assert make_plan(decode_snapshot(bytes(row.snapshot))) == decode_plan(bytes(row.plan))


@pytest.fixture
def a(cluster: Cluster) -> Node:
    return machine(cluster, "a")


@pytest.fixture
def b(cluster: Cluster, a: Node) -> Node:
    return machine(cluster, "b")


def machine(cluster: Cluster, name: str, gpu: int = 4) -> Node:
    return make_node(cluster, name=name, cpu_milli=32_000, ram_mib=256 * 1024, gpu=gpu)


def where(deployment: Deployment) -> dict[str, int]:
    """Replicas by the node's name."""
    placement = Deployment.objects.get(pk=deployment.pk).placement
    return {place["node"]: place["replicas"] for place in placement}


def waits_for(deployment: Deployment) -> str:
    reason = reasons_for([Deployment.objects.get(pk=deployment.pk)])[deployment.pk]
    assert reason is not None
    return str(reason["details"].get("waiting_for", reason)["code"])


def assert_requeued(deployment: Deployment, node: str = "a") -> None:
    row = Deployment.objects.get(pk=deployment.pk)
    assert (row.status, row.reason_code) == (Status.QUEUED, "NODE_DRAINED")
    assert (row.preemption_count, row.retry_count, row.placement) == (0, 0, [])
    assert row.created_at == deployment.created_at
    shown = row.events.order_by("id").last()
    assert shown is not None
    assert (shown.type, shown.details) == (EventType.DRAINED, {"node": node})


def test_a_cordoned_node_keeps_what_runs_and_takes_no_more(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    first = submit(gpu=1)
    run_cycle(cluster)
    nodes.cordon(a)
    second = submit("HIGH", gpu=1)
    run_cycle(cluster)
    assert (where(first), where(second)) == ({"a": 1}, {})
    assert waits_for(second) == "INSUFFICIENT_CAPACITY"
    nodes.uncordon(a)
    run_cycle(cluster)
    assert (where(first), where(second)) == ({"a": 1}, {"a": 1})


def test_a_drained_node_requeues_what_runs_and_stays_closed_until_it_is_uncordoned(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    running = [submit(gpu=2), submit("HIGH", gpu=2)]
    run_cycle(cluster)
    nodes.drain(a)
    outcome = run_cycle(cluster)
    assert len(outcome.plan.evictions) == 2
    assert outcome.wants_another
    for each in running:
        assert_requeued(each)
    run_cycle(cluster)
    assert [where(each) for each in running] == [{}, {}]
    nodes.uncordon(a)
    run_cycle(cluster)
    assert [where(each) for each in running] == [{"a": 1}, {"a": 1}]


def test_what_leaves_a_drained_node_goes_on_elsewhere(
    cluster: Cluster, a: Node, b: Node, submit: Submit
) -> None:
    nodes.cordon(b)
    row = submit(gpu=4)
    run_cycle(cluster)
    nodes.drain(a)
    nodes.uncordon(b)
    run_cycle(cluster)
    assert_requeued(row)
    run_cycle(cluster)
    assert where(row) == {"b": 1}


def test_a_gang_leaves_whole(cluster: Cluster, a: Node, b: Node, submit: Submit) -> None:
    gang, alone = submit("HIGH", gpu=3, replicas=2), submit(gpu=1)
    run_cycle(cluster)
    assert where(gang) == {"a": 1, "b": 1}
    left = next(name for name in ("a", "b") if name not in where(alone))
    nodes.drain(Node.objects.get(name=left))
    run_cycle(cluster)
    assert_requeued(gang, left)
    assert sum(where(alone).values()) == 1
    assert list(Node.objects.filter(name=left).values_list("allocated_gpu", flat=True)) == [0]


def test_a_node_is_deleted_by_the_cycle_that_empties_it(
    cluster: Cluster, a: Node, b: Node, submit: Submit
) -> None:
    gang = submit(gpu=3, replicas=2)
    run_cycle(cluster)
    assert nodes.delete_node(a, drain=True) is not None
    assert totals(cluster) == (64_000, 512 * 1024, 8)
    run_cycle(cluster)
    assert list(Node.objects.all()) == [b]
    assert totals(cluster) == (32_000, 256 * 1024, 4)
    assert_requeued(gang)
    run_cycle(cluster)
    assert waits_for(gang) == "EXCEEDS_CAPACITY"


def test_a_node_is_deleted_by_the_stop_that_empties_it(
    cluster: Cluster, a: Node, b: Node, submit: Submit
) -> None:
    row = submit(gpu=4)
    run_cycle(cluster)
    node = Node.objects.get(name=next(iter(where(row))))
    nodes.delete_node(node, drain=True)
    stop_deployment(row.owner, row)
    assert not Node.objects.filter(pk=node.pk).exists()
    assert totals(cluster) == (32_000, 256 * 1024, 4)


def test_after_its_last_node_the_cluster_goes_on_as_a_pool(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    row = submit(gpu=2, replicas=2)
    run_cycle(cluster)
    nodes.delete_node(a, drain=True)
    run_cycle(cluster)
    assert totals(cluster) == (32_000, 256 * 1024, 4)
    run_cycle(cluster)
    row.refresh_from_db()
    assert row.placement == [{"node_id": None, "node": None, "replicas": 2}]


def test_a_request_for_labels_waits_when_the_nodes_are_gone(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    nodes.change_node(a, {"labels": {"zone": "x"}})
    row = submit(node_selector={"zone": "x"})
    nodes.delete_node(a)
    outcome = run_cycle(cluster)
    assert where(row) == {}
    assert [wait.reason.code for wait in outcome.plan.waits] == ["NO_MATCHING_NODE"]


def test_a_pool_that_is_drained_first_becomes_a_cluster_of_nodes(
    cluster: Cluster, submit: Submit
) -> None:
    row = submit(gpu=2)
    run_cycle(cluster)
    change_cluster(cluster, {"state": State.DRAINING})
    run_cycle(cluster)
    machine(cluster, "a")
    change_cluster(cluster, {"state": State.ACTIVE})
    run_cycle(cluster)
    assert where(row) == {"a": 1}


def test_a_node_is_shrunk_by_the_cycle_that_empties_it_and_open_again(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    large, small = submit(gpu=3), submit(gpu=1)
    run_cycle(cluster)
    nodes.change_node(a, {"gpu": 2}, drain=True)
    assert totals(cluster)[2] == 4
    run_cycle(cluster)
    a.refresh_from_db()
    assert (a.state, a.gpu, a.pending) == ("READY", 2, None)
    assert totals(cluster)[2] == 2
    run_cycle(cluster)
    assert (where(large), where(small)) == ({}, {"a": 1})


def test_a_paused_cluster_drains_its_nodes_too(cluster: Cluster, a: Node, submit: Submit) -> None:
    row = submit(gpu=1)
    run_cycle(cluster)
    change_cluster(cluster, {"state": State.PAUSED})
    nodes.delete_node(a, drain=True)
    run_cycle(cluster)
    assert_requeued(row)
    assert not Node.objects.exists()


def test_a_drain_whose_wakeup_was_lost_is_found_by_the_sweep(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    submit(gpu=1)
    run_cycle(cluster)
    assert overlooked_clusters() == []
    nodes.drain(a)
    assert overlooked_clusters() == [cluster.pk]
    nodes.cordon(a)
    assert overlooked_clusters() == []


def test_a_crash_leaves_the_node_in_use_and_the_next_cycle_deletes_it(
    cluster: Cluster, a: Node, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = submit(gpu=1)
    run_cycle(cluster)
    nodes.delete_node(a, drain=True)

    class CrashError(Exception):
        pass

    def crash(*_: object, **__: object) -> None:
        raise CrashError

    with monkeypatch.context() as patched:
        patched.setattr("scheduler.ledger.write", crash)  # the last thing before the commit
        with pytest.raises(CrashError):
            run_cycle(cluster)
    assert where(row) == {"a": 1}
    assert audit.breaches() == []
    run_cycle(cluster)
    assert not Node.objects.exists()


def test_changed_labels_leave_running_deployments_alone_and_guide_waiting_ones(
    cluster: Cluster, a: Node, b: Node, submit: Submit, dev: User
) -> None:
    nodes.change_node(a, {"labels": {"zone": "x"}})
    first = submit(gpu=2, node_selector={"zone": "x"})
    run_cycle(cluster)
    nodes.change_node(a, {"labels": {}})
    second = submit(gpu=2, node_selector={"zone": "x"})
    outcome = run_cycle(cluster)
    assert (where(first), where(second)) == ({"a": 1}, {})
    assert [wait.reason.details for wait in outcome.plan.waits] == [
        {"node_selector": {"zone": "x"}, "nearest": []}
    ]
    nodes.change_node(b, {"labels": {"zone": "x"}})
    run_cycle(cluster)
    assert (where(first), where(second)) == ({"a": 1}, {"b": 1})


@pytest.mark.parametrize(
    ("placement", "expected"), [("binpack", {"a": 2}), ("spread", {"a": 1, "b": 1})]
)
def test_binpack_fills_one_node_and_spread_takes_all(
    cluster: Cluster, a: Node, b: Node, submit: Submit, placement: str, expected: dict[str, int]
) -> None:
    change_cluster(cluster, {"placement": placement})
    row = submit(gpu=1, replicas=2)
    run_cycle(cluster)
    assert where(row) == expected
