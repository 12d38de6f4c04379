"""After a fault of a node, the next attempt starts on another one, where another one fits."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.models import Cluster, Node, NodeState
from clusters.services.node_changes import follow_nodes
from deployments import tasks
from deployments.lifecycle import due
from deployments.models import Deployment
from deployments.reasons import codes
from deployments.reconciler import elsewhere, status_writer
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.runtimes.base import Code, Problem, RefusedError
from deployments.scheduling_key import key_of
from deployments.tests.reconciler.testbed import Testbed, reason
from mlops_platform.database.clock import database_now
from scheduler import audit
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(testbed: Testbed) -> tuple[Node, Node]:
    nodes = testbed.add_node("a"), testbed.add_node("b")
    testbed.reconcile()
    return nodes


def disrupt(testbed: Testbed, row: Deployment) -> Node:
    """The machine ends the deployment; returns its node."""
    node = testbed.node_of(row)
    testbed.runtime_of(node).finish(testbed.key(row), exit_code=137, problem=Code.DISRUPTED)
    testbed.reconcile()
    return node


def vanish(testbed: Testbed, row: Deployment) -> Node:
    node = testbed.node_of(row)
    testbed.runtime_of(node).vanish(testbed.key(row))
    testbed.reconcile()
    return node


def let_the_timer_look(testbed: Testbed) -> None:
    """A timer's turn, and the work of a worker that it may have woken."""
    due.wake_all()
    tasks.end_due(str(testbed.cluster.pk))


def other(two: tuple[Node, Node], node: Node) -> Node:
    return next(each for each in two if each.pk != node.pk)


@pytest.mark.parametrize("fault", [disrupt, vanish])
@pytest.mark.parametrize("gpu", [0, 1])
def test_the_next_attempt_starts_on_another_node(
    testbed: Testbed, two: tuple[Node, Node], fault: Any, gpu: int
):
    row = testbed.submit(gpu=gpu)
    testbed.settle()
    failed = fault(testbed, row)
    waits = testbed.fresh(row)
    assert (waits.status, waits.avoided_node_id) == ("QUEUED", failed.pk)
    assert waits.scheduling_key == key_of(waits)
    sentence = f"The next attempt starts on another node than {failed.name}."
    assert sentence in reason(row)["message"]
    assert waits.events.get(type="REQUEUED").details["next"]["node"] == failed.name
    testbed.end_retry_pauses()
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert testbed.node_of(row).pk == other(two, failed).pk
    runs = testbed.fresh(row)
    assert (runs.avoided_node_id, runs.avoid_until) == (None, None)
    assert runs.scheduling_key == key_of(runs)
    assert audit.breaches() == []


def test_where_no_other_node_fits_it_starts_on_the_same_again(
    testbed: Testbed, two: tuple[Node, Node]
):
    row = testbed.submit()
    testbed.settle()
    node = testbed.node_of(row)
    Node.objects.exclude(pk=node.pk).update(state=NodeState.CORDONED)
    disrupt(testbed, row)
    assert testbed.fresh(row).avoided_node_id is None
    assert "another node" not in reason(row)["message"]
    testbed.end_retry_pauses()
    testbed.settle()
    assert (testbed.status(row), testbed.node_of(row).pk) == ("RUNNING", node.pk)


def test_a_node_that_is_too_small_is_no_other_node(testbed: Testbed):
    testbed.add_node("a")
    testbed.add_node("b", ram_mib=256)
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    disrupt(testbed, row)
    assert testbed.fresh(row).avoided_node_id is None


def test_others_still_start_on_the_node(testbed: Testbed, two: tuple[Node, Node]):
    row = testbed.submit(gpu=2)
    testbed.settle()
    failed = disrupt(testbed, row)
    newer = testbed.submit(gpu=2)
    testbed.settle()
    assert (testbed.status(row), testbed.status(newer)) == ("RUNNING", "RUNNING")
    assert testbed.node_of(row).pk == other(two, failed).pk
    assert testbed.node_of(newer).pk == failed.pk


def test_it_goes_back_to_the_node_once_the_exclusion_is_over(
    testbed: Testbed, two: tuple[Node, Node]
):
    busy, row = testbed.submit(gpu=2), testbed.submit(gpu=2)
    testbed.settle()
    failed = disrupt(testbed, row)
    testbed.settle()
    waits = testbed.fresh(row)
    assert waits.status == "QUEUED"  # its old node is free, the other one is not
    assert reason(row)["details"]["waiting_for"]["code"] in ("INSUFFICIENT_CAPACITY", "FRAGMENTED")
    until = waits.avoid_until
    assert until is not None
    assert until - database_now() <= elsewhere.AVOID_FOR
    elsewhere.end_exclusions(testbed.cluster.pk, until - timedelta(seconds=1))
    assert testbed.fresh(row).avoided_node_id == failed.pk
    elsewhere.end_exclusions(testbed.cluster.pk, until)
    ended = testbed.fresh(row)
    assert (ended.avoided_node_id, ended.scheduling_key) == (None, key_of(ended))
    testbed.settle()
    assert (testbed.status(row), testbed.node_of(row).pk) == ("RUNNING", failed.pk)
    assert testbed.status(busy) == "RUNNING"


def test_the_timer_ends_what_is_over(testbed: Testbed, two: tuple[Node, Node]):
    row = testbed.submit()
    testbed.settle()
    disrupt(testbed, row)
    let_the_timer_look(testbed)
    assert testbed.fresh(row).avoided_node_id is not None
    Deployment.objects.update(avoid_until=database_now() - timedelta(seconds=1))
    let_the_timer_look(testbed)
    assert testbed.fresh(row).avoided_node_id is None


def test_a_node_that_refuses_it_for_its_size_is_avoided(testbed: Testbed, two: tuple[Node, Node]):
    def refuse(own: Any, spec: Any) -> None:
        raise RefusedError(Problem(Code.UNSCHEDULABLE, "no room"))

    row = testbed.submit()
    testbed.cycle()
    node = testbed.node_of(row)
    testbed.intercept(node, "start", refuse)
    testbed.reconcile()
    assert testbed.fresh(row).avoided_node_id == node.pk
    testbed.end_retry_pauses()
    testbed.settle()
    assert (testbed.status(row), testbed.node_of(row).pk) == ("RUNNING", other(two, node).pk)


def test_a_failure_of_its_own_avoids_no_node(testbed: Testbed, two: tuple[Node, Node]):
    row = testbed.submit("exit:3", max_retries=1)
    testbed.settle()
    assert (testbed.status(row), testbed.fresh(row).avoided_node_id) == ("QUEUED", None)


def test_a_node_that_is_deleted_meanwhile_keeps_nothing_waiting(
    testbed: Testbed, two: tuple[Node, Node]
):
    row = testbed.submit()
    testbed.settle()
    failed = disrupt(testbed, row)
    Node.objects.filter(pk=failed.pk).delete()
    follow_nodes(testbed.cluster.pk)
    testbed.end_retry_pauses()
    testbed.settle()
    assert testbed.status(row) == "RUNNING"


def test_its_cycle_replays_bit_for_bit(testbed: Testbed, two: tuple[Node, Node]):
    row = testbed.submit()
    testbed.settle()
    disrupt(testbed, row)
    testbed.end_retry_pauses()
    testbed.settle()
    entry = SchedulingCycle.objects.filter(cluster=Cluster.objects.get()).latest("id")
    assert make_plan(decode_snapshot(bytes(entry.snapshot))) == decode_plan(bytes(entry.plan))


def test_nodes_are_read_once_for_all_that_a_fault_has_ended(
    testbed: Testbed, two: tuple[Node, Node]
):
    lost = [testbed.submit() for _ in range(4)]
    testbed.settle()
    assessed = [
        (testbed.fresh(row), Assessment(Outcome.REQUEUE, codes.NODE_LOST, {})) for row in lost
    ]
    with CaptureQueriesContext(connection) as queries:
        status_writer.write(testbed.cluster.pk, assessed, database_now())
    assert {testbed.status(row) for row in lost} == {"QUEUED"}
    assert all(testbed.fresh(row).avoided_node_id for row in lost)
    read = [each["sql"] for each in queries if 'FROM "clusters_node"' in each["sql"]]
    assert len(read) == 1
    classes = [each["sql"] for each in queries if each["sql"].startswith('SELECT "deployments_pri')]
    assert classes == []
