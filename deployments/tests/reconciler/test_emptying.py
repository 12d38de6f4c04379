"""Nodes and clusters that are emptied, and what becomes of them then."""

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from clusters.services import attach
from clusters.services.clusters import delete_cluster
from clusters.services.nodes import delete_node, drain, uncordon
from deployments.models import Deployment
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site
from deployments.tests.workloads import allocated
from mlops_platform.api.errors import Conflict

pytestmark = pytest.mark.django_db


def test_a_drained_node_is_empty_once_what_ran_there_is_gone(site: Site, a: Node):
    site.look()
    row = site.submit("deaf")
    site.settle()
    drain(a)
    site.cycle()
    assert site.status(row) == "STOPPING"
    assert allocated(site.cluster) == (1000, 512, 1)  # nobody took it over
    site.overdue(row)
    site.look()
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.preemption_count, fresh.retry_count) == ("QUEUED", 0, 0)
    assert allocated(site.cluster) == (0, 0, 0)
    uncordon(Node.objects.get(pk=a.pk))
    site.settle()
    assert site.status(row) == "RUNNING"


def test_a_node_is_deleted_only_once_nothing_runs_on_it(site: Site, a: Node):
    site.look()
    row = site.submit("deaf")
    site.settle()
    delete_node(a, drain=True)
    site.cycle()
    site.look()
    assert Node.objects.filter(pk=a.pk).exists()
    site.overdue(row)
    site.look()
    site.look()
    assert not Node.objects.filter(pk=a.pk).exists()
    assert site.status(row) == "QUEUED"


def linger(site: Site, dev: User) -> Deployment:
    """One that was evicted and is still there, while nothing is booked on its node."""
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    site.look()
    stop_deployment(dev, site.fresh(urgent))
    site.look()
    assert (site.status(urgent), site.status(victim)) == ("STOPPED", "STOPPING")
    assert allocated(site.cluster) == (0, 0, 0)
    return victim


def test_a_node_is_not_empty_while_somebody_evicted_is_still_there(site: Site, a: Node, dev: User):
    victim = linger(site, dev)
    with pytest.raises(Conflict, match="What was evicted from a has not ended yet"):
        delete_node(a)
    assert Node.objects.get(pk=a.pk).pending is None
    leaving = delete_node(a, drain=True)
    assert leaving is not None
    assert leaving.pending == {"delete": True}
    site.settle()
    assert Node.objects.filter(pk=a.pk).exists()
    site.overdue(victim)
    site.look()
    site.look()
    assert site.status(victim) == "QUEUED"
    assert site.twin(a).observe() == []
    assert not Endpoint.objects.filter(cluster=site.cluster).exists()


def test_a_node_waits_for_the_evicted_after_those_who_came_for_them(site: Site, a: Node):
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    site.submit(priority="HIGH", gpu=2)
    site.cycle()
    delete_node(a, drain=True)
    site.settle()
    assert allocated(site.cluster) == (0, 0, 0)
    assert Node.objects.get(pk=a.pk).pending == {"delete": True}
    site.twin(a).finish(site.key(victim), 0)
    site.look()
    assert not Node.objects.filter(pk=a.pk).exists()
    assert site.twin(a).observe() == []


def test_an_engine_is_not_exchanged_while_somebody_evicted_is_still_there(
    site: Site, a: Node, dev: User
):
    victim = linger(site, dev)
    node = Node.objects.select_related("cluster", "endpoint").get(pk=a.pk)
    body = {"endpoint": {"url": "unix:///other.sock"}}
    with pytest.raises(Conflict, match="What runs on a runs at"):
        attach.change_node(node, body, trusted=True)
    assert Endpoint.objects.get(cluster=site.cluster).url == "tcp://a:2376"
    site.overdue(victim)
    site.look()
    site.look()
    attach.change_node(node, body, trusted=True)
    assert Endpoint.objects.get(cluster=site.cluster).url == "unix:///other.sock"


def test_a_cluster_in_use_goes_once_all_of_it_has_stopped(site: Site, a: Node):
    site.look()
    site.submit("deaf")
    site.submit()
    site.submit(gpu=2)
    site.settle()
    delete_cluster(site.cluster, force=True)
    site.look()
    assert Cluster.objects.filter(pk=site.cluster.pk, state="DELETING").exists()
    site.twin(a).finish(site.twin(a).observe()[0].key, 0)
    site.look()
    site.look()
    assert not Cluster.objects.filter(pk=site.cluster.pk).exists()
    assert site.twin(a).observe() == []
