"""Nodes and clusters that are drained or deleted while deployments run on them."""

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from clusters.services import attach
from clusters.services.deletion import delete_cluster
from clusters.services.nodes import delete_node, drain, uncordon
from deployments.models import Deployment, Status
from deployments.services import stop
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.workloads import allocated, make
from mlops_platform.api.errors import Conflict

pytestmark = pytest.mark.django_db


def test_a_drained_node_is_empty_once_its_deployments_have_ended(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("deaf")
    testbed.settle()
    drain(a)
    testbed.cycle()
    assert testbed.status(row) == "STOPPING"
    assert allocated(testbed.cluster) == (1000, 512, 1)  # no preemptor has taken it
    testbed.expire_grace(row)
    testbed.reconcile()
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.preemption_count, fresh.retry_count) == ("QUEUED", 0, 0)
    assert allocated(testbed.cluster) == (0, 0, 0)
    uncordon(Node.objects.get(pk=a.pk))
    testbed.settle()
    assert testbed.status(row) == "RUNNING"


def test_a_node_is_deleted_only_once_its_deployments_have_ended(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("deaf")
    testbed.settle()
    delete_node(a, drain=True)
    testbed.cycle()
    testbed.reconcile()
    assert Node.objects.filter(pk=a.pk).exists()
    testbed.expire_grace(row)
    testbed.reconcile()
    testbed.reconcile()
    assert not Node.objects.filter(pk=a.pk).exists()
    assert testbed.status(row) == "QUEUED"


def make_victim(testbed: Testbed, dev: User) -> Deployment:
    """A victim that has yielded and not ended, on a node without any allocation."""
    testbed.reconcile()
    victim = testbed.submit("deaf", gpu=2)
    testbed.settle()
    urgent = testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    testbed.reconcile()
    stop_deployment(dev, testbed.fresh(urgent))
    testbed.reconcile()
    assert (testbed.status(urgent), testbed.status(victim)) == ("STOPPED", "STOPPING")
    assert allocated(testbed.cluster) == (0, 0, 0)
    return victim


def test_a_node_is_not_deleted_while_a_victim_on_it_has_not_ended(
    testbed: Testbed, a: Node, dev: User
):
    victim = make_victim(testbed, dev)
    with pytest.raises(Conflict, match="What was evicted from a has not ended yet"):
        delete_node(a)
    assert Node.objects.get(pk=a.pk).pending is None
    leaving = delete_node(a, drain=True)
    assert leaving is not None
    assert leaving.pending == {"delete": True}
    testbed.settle()
    assert Node.objects.filter(pk=a.pk).exists()
    testbed.expire_grace(victim)
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(victim) == "QUEUED"
    assert testbed.runtime_of(a).observe() == []
    assert not Endpoint.objects.filter(cluster=testbed.cluster).exists()


def test_a_drained_node_waits_for_its_victim_after_the_preemptor_has_left(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    victim = testbed.submit("deaf", gpu=2)
    testbed.settle()
    testbed.submit(priority="HIGH", gpu=2)
    testbed.cycle()
    delete_node(a, drain=True)
    testbed.settle()
    assert allocated(testbed.cluster) == (0, 0, 0)
    assert Node.objects.get(pk=a.pk).pending == {"delete": True}
    testbed.runtime_of(a).finish(testbed.key(victim), 0)
    testbed.reconcile()
    assert not Node.objects.filter(pk=a.pk).exists()
    assert testbed.runtime_of(a).observe() == []


def test_an_engine_is_not_exchanged_while_a_victim_on_it_has_not_ended(
    testbed: Testbed, a: Node, dev: User
):
    victim = make_victim(testbed, dev)
    node = Node.objects.select_related("cluster", "endpoint").get(pk=a.pk)
    body = {"endpoint": {"url": "unix:///other.sock"}}
    with pytest.raises(Conflict, match="What runs on a runs at"):
        attach.change_node(node, body, trusted=True)
    assert Endpoint.objects.get(cluster=testbed.cluster).url == "tcp://a:2376"
    testbed.expire_grace(victim)
    testbed.reconcile()
    testbed.reconcile()
    attach.change_node(node, body, trusted=True)
    assert Endpoint.objects.get(cluster=testbed.cluster).url == "unix:///other.sock"


def test_a_cluster_in_use_is_deleted_once_its_deployments_have_stopped(testbed: Testbed, a: Node):
    testbed.reconcile()
    testbed.submit("deaf")
    testbed.submit()
    testbed.submit(gpu=2)
    testbed.settle()
    delete_cluster(testbed.cluster, force=True)
    testbed.reconcile()
    assert Cluster.objects.filter(pk=testbed.cluster.pk, state="DELETING").exists()
    testbed.runtime_of(a).finish(testbed.runtime_of(a).observe()[0].key, 0)
    testbed.reconcile()
    testbed.reconcile()
    assert not Cluster.objects.filter(pk=testbed.cluster.pk).exists()
    assert testbed.runtime_of(a).observe() == []


def test_a_request_stops_few_of_many_and_passes_stop_the_rest(testbed: Testbed, a: Node, dev: User):
    rows = [make(testbed.cluster, dev) for _ in range(2 * stop.AT_ONCE + 1)]
    queued = Deployment.objects.filter(cluster=testbed.cluster, status=Status.QUEUED)
    delete_cluster(testbed.cluster, force=True)
    assert queued.count() == len(rows) - stop.AT_ONCE
    testbed.reconcile()
    assert not queued.exists()
    testbed.reconcile()
    assert not Cluster.objects.filter(pk=testbed.cluster.pk).exists()
