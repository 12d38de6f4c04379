"""What runs on through the silence of its engine, and is adopted when the engine is back."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.models import Cluster, Node, NodeState, Quota
from deployments.lifecycle.timeline import record
from deployments.models import Deployment, DeploymentEvent, EventType
from deployments.services.checkpoint import report_checkpoint
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_deployment
from deployments.tests.feed.guard import every_change_needs_an_event
from deployments.tests.reconciler.starts.test_pull_policy import DIGEST, shows
from deployments.tests.reconciler.testbed import Testbed, mark_lost, reason
from deployments.tests.workloads import allocated
from scheduler import audit

pytestmark = pytest.mark.django_db(transaction=True)


def lose(testbed: Testbed, *nodes: Node) -> None:
    for node in nodes:
        testbed.disconnect(node)
    testbed.reconcile()
    for node in nodes:
        mark_lost(node)
    testbed.reconcile()


def regain(testbed: Testbed, *nodes: Node) -> None:
    for node in nodes:
        testbed.reconnect(node)
    testbed.reconcile()


@pytest.fixture
def lost(testbed: Testbed, a: Node) -> Deployment:
    """Was started on the only node, which was lost since, and runs on there."""
    testbed.reconcile()
    row = testbed.submit(gpu=2, max_runtime_s=3600)
    testbed.settle()
    lose(testbed, a)
    assert testbed.status(row) == "QUEUED"
    return row


def test_a_replica_that_still_runs_goes_on_with_its_attempt(
    testbed: Testbed, a: Node, lost: Deployment
):
    with every_change_needs_an_event():
        regain(testbed, a)
    fresh = testbed.fresh(lost)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("RUNNING", 1, 0)
    assert fresh.due_at is not None
    assert fresh.placement == [{"node_id": str(a.pk), "node": "a", "replicas": 1}]
    assert testbed.replicas() == {(str(lost.pk), "RUNNING")}
    assert allocated(testbed.cluster) == (1000, 512, 2)
    assert reason(lost) == {}
    last = DeploymentEvent.objects.filter(deployment=lost).order_by("id").last()
    assert last is not None
    assert (last.type, last.details["code"]) == ("RUNNING", "ADOPTED")
    assert audit.breaches() == []
    testbed.settle()
    assert testbed.fresh(lost).attempt == 1
    testbed.runtime_of(a).finish(testbed.key(lost), 0)
    testbed.reconcile()
    assert testbed.status(lost) == "COMPLETED"


def test_a_checkpoint_stays_with_the_attempt_that_reported_it(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    row, silent = testbed.submit(), testbed.submit()
    testbed.settle()
    fresh = testbed.fresh(row)
    reported = [report_checkpoint(dev, fresh, at).checkpoint_at for at in (None, fresh.started_at)]
    assert reported[0] == reported[1]  # an older report takes nothing back
    # Of an earlier attempt: nothing of the present one is saved.
    long_ago = {"at": "2020-01-01T00:00:00+00:00"}
    record(silent.pk, EventType.CHECKPOINTED, at=None, details=long_ago)
    lose(testbed, a)
    assert testbed.fresh(row).checkpoint_at is None
    regain(testbed, a)
    assert testbed.status(row) == testbed.status(silent) == "RUNNING"
    assert testbed.fresh(row).checkpoint_at == reported[0]
    assert testbed.fresh(silent).checkpoint_at is None


def test_many_are_adopted_by_as_many_queries_as_one(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    counts = []
    for size in (1, 8):
        rows = [testbed.submit(cpu_milli=10, ram_mib=10, gpu=0) for _ in range(size)]
        testbed.settle()
        lose(testbed, a)
        testbed.reconnect(a)
        with CaptureQueriesContext(connection) as sent:
            testbed.reconcile()
        assert [testbed.fresh(row).attempt for row in rows] == [1] * size
        assert {testbed.status(row) for row in rows} == {"RUNNING"}
        counts.append(len(sent))
        for row in rows:
            stop_deployment(dev, testbed.fresh(row))
        testbed.settle()
    assert counts[0] == counts[1]
    assert audit.breaches() == []


def test_no_more_is_adopted_than_a_node_and_a_quota_have_left(testbed: Testbed, a: Node):
    testbed.reconcile()
    rows = [testbed.submit(gpu=0, cpu_milli=1500) for _ in range(2)]
    testbed.settle()
    lose(testbed, a)
    Quota.objects.create(cluster=testbed.cluster, user=None, max_cpu_milli=2000)
    Cluster.objects.filter(pk=testbed.cluster.pk).update(has_quotas=True)
    regain(testbed, a)
    assert [testbed.status(row) for row in rows] == ["RUNNING", "QUEUED"]
    lose(testbed, a)
    Quota.objects.all().delete()
    Node.objects.filter(pk=a.pk).update(cpu_milli=1000)
    regain(testbed, a)
    assert [testbed.status(row) for row in rows] == ["QUEUED", "QUEUED"]
    assert audit.breaches() == []


def test_what_is_adopted_before_it_was_seen_to_run_shows_its_image(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(readiness={"kind": "tcp", "port": 80, "within_s": 600})
    testbed.intercept(a, "observe", shows(DIGEST))
    testbed.settle()
    Deployment.objects.filter(pk=row.pk).update(image_digest="")
    lose(testbed, a)
    regain(testbed, a)
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.image_digest) == ("RUNNING", 1, DIGEST)


def test_what_was_started_elsewhere_meanwhile_is_killed_where_it_was(
    testbed: Testbed, a: Node, lost: Deployment
):
    b = testbed.add_node("b")
    testbed.settle()
    assert testbed.node_of(lost) == b
    regain(testbed, a)
    testbed.settle()
    assert testbed.replicas() == {(str(lost.pk), "RUNNING")}
    assert testbed.node_of(lost) == b
    assert testbed.fresh(lost).attempt == 2


def test_a_gang_is_adopted_as_a_whole(testbed: Testbed, a: Node, b: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=2, gpu=2)
    testbed.settle()
    lose(testbed, a, b)
    assert testbed.status(row) == "QUEUED"
    regain(testbed, a, b)
    testbed.settle()
    assert (testbed.status(row), testbed.fresh(row).attempt) == ("RUNNING", 1)
    assert allocated(testbed.cluster) == (2000, 1024, 4)


def test_a_gang_of_which_a_replica_is_missing_is_not(testbed: Testbed, a: Node, b: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=2, gpu=2)
    testbed.settle()
    lose(testbed, a, b)
    testbed.runtime_of(b).vanish(testbed.key(row, 1))
    testbed.runtime_of(b).vanish(testbed.key(row, 0))
    regain(testbed, a, b)
    testbed.settle()
    assert (testbed.status(row), testbed.fresh(row).attempt) == ("RUNNING", 2)


def test_what_has_ended_meanwhile_starts_again(testbed: Testbed, a: Node, lost: Deployment):
    testbed.runtime_of(a).finish(testbed.key(lost), 0)
    regain(testbed, a)
    testbed.settle()
    assert (testbed.status(lost), testbed.fresh(lost).attempt) == ("RUNNING", 2)


def test_what_was_stopped_while_it_waited_is_killed(
    testbed: Testbed, a: Node, lost: Deployment, dev
):
    stop_deployment(dev, testbed.fresh(lost))
    regain(testbed, a)
    testbed.reconcile()
    assert testbed.status(lost) == "STOPPED"
    assert testbed.replicas() == set()


def test_what_asks_for_another_size_by_now_starts_again(
    testbed: Testbed, a: Node, lost: Deployment, dev
):
    change_deployment(dev, testbed.fresh(lost), {"cpu_milli": 2000})
    regain(testbed, a)
    testbed.settle()
    testbed.settle()
    assert (testbed.status(lost), testbed.fresh(lost).attempt) == ("RUNNING", 2)
    assert allocated(testbed.cluster)[0] == 2000


@pytest.mark.parametrize("why", ["paused", "draining", "quota"])
def test_nothing_is_adopted_against_the_will_of_people(
    testbed: Testbed, a: Node, lost: Deployment, why: str
):
    cluster = Cluster.objects.filter(pk=testbed.cluster.pk)
    if why == "paused":
        cluster.update(state="PAUSED")
    elif why == "draining":
        Node.objects.filter(pk=a.pk).update(state=NodeState.DRAINING)
    else:
        Quota.objects.create(cluster=testbed.cluster, user=None, max_gpu=1)
        cluster.update(has_quotas=True)
    regain(testbed, a)
    testbed.settle()
    assert testbed.status(lost) == "QUEUED"
    assert testbed.replicas() == set()
    assert allocated(testbed.cluster) == (0, 0, 0)
