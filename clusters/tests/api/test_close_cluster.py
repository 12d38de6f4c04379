"""DELETE /api/clusters/{id}?force=true where containers run, and calls on a cluster being
deleted."""

import pytest

from clusters.models import Cluster, Endpoint, Node, State
from clusters.services.clusters import pause, resume
from clusters.services.deletion import delete_cluster
from clusters.signals import cluster_closing
from clusters.tests.allocation import row
from clusters.tests.endpoints.pki import kubeconfig, pem
from deployments.models import Deployment, Status
from deployments.tests.workloads import body, make
from mlops_platform.api.errors import Conflict


def path(cluster, query=""):
    return f"/api/clusters/{cluster.pk}{query}"


@pytest.fixture
def heard():
    """(id, state) of each cluster whose deletion has begun."""
    shown = []

    def hear(cluster, **_):
        shown.append((cluster.pk, cluster.state))

    cluster_closing.connect(hear)
    yield shown
    cluster_closing.disconnect(hear)


@pytest.fixture(params=["docker", "kube"])
def used(request, ada):
    """A cluster with containers, in which one deployment runs."""
    cluster = request.getfixturevalue(request.param)
    Cluster.objects.update(total_cpu_milli=8000, total_ram_mib=16384, total_gpu=4)
    make(cluster, ada, Status.RUNNING)
    return cluster


def test_running_deployments_are_stopped_first(api, ada, used, heard, woken):
    response = api(ada).delete(path(used, "?force=true"))
    assert response.status_code == 202
    assert (response.json()["id"], response.json()["state"]) == (str(used.pk), "DELETING")
    assert row(used)["state"] == State.DELETING
    assert heard == [(used.pk, State.DELETING)]
    assert woken == [used.pk]
    assert Deployment.objects.get().status == Status.STOPPING  # for its runtime to stop


def test_asking_again_is_fine(api, ada, used, heard):
    for _ in range(2):
        assert api(ada).delete(path(used, "?force=true")).status_code == 202
    assert len(heard) == 1


def test_without_force_the_cluster_stays(api, ada, used, heard):
    before = row(used)
    response = api(ada).delete(path(used))
    assert (response.status_code, response.json()["code"]) == (409, "cluster_in_use")
    assert row(used) == before
    assert heard == []


@pytest.mark.parametrize("query", ["", "?force=true"])
@pytest.mark.parametrize("which", ["docker", "kube"])
def test_a_cluster_in_which_nothing_runs_goes_at_once(api, ada, which, query, heard, request):
    cluster = request.getfixturevalue(which)
    make(cluster, ada, Status.COMPLETED)
    assert api(ada).delete(path(cluster, query)).status_code == 204
    assert not Cluster.objects.exists()
    assert not Endpoint.objects.exists()
    assert heard == []


def test_a_cluster_being_deleted_goes_once_it_is_empty(api, ada, used, heard):
    api(ada).delete(path(used, "?force=true"))
    Deployment.objects.update(status=Status.STOPPED, next_status="")
    assert delete_cluster(used) is None
    assert not Cluster.objects.exists()


@pytest.fixture
def closing(used):
    Cluster.objects.filter(pk=used.pk).update(state=State.DELETING)
    used.refresh_from_db()
    return used


@pytest.mark.parametrize("state", ["ACTIVE", "paused", "DRAINING"])
def test_no_change_of_state_ends_a_deletion(api, ada, closing, woken, state):
    before = row(closing)
    response = api(ada).patch(path(closing), {"state": state, "name": "renamed"})
    assert (response.status_code, response.json()["code"]) == (409, "cluster_deleting")
    for service in (pause, resume):
        with pytest.raises(Conflict):
            service(closing)
    assert row(closing) == before
    assert woken == []
    assert api(ada).patch(path(closing), {"state": "DELETING"}).status_code == 200  # as it is


def test_it_is_no_state_to_set(api, ada, docker, cluster, woken):
    for each in (docker, cluster):
        before = row(each)
        response = api(ada).patch(path(each), {"state": "deleting"})
        assert (response.status_code, response.json()["code"]) == (409, "not_settable")
        assert row(each) == before
    assert woken == []


def test_a_submit_to_it_is_409(api, dev, closing):
    for address in ("/api/deployments", "/api/deployments/quote"):
        response = api(dev).post(address, body(closing))
        assert response.status_code == 409
        assert response.json()["code"] == "cluster_deleting"
    assert Deployment.objects.count() == 1


def test_no_engine_is_attached_to_it(api, ada, docker):
    Cluster.objects.update(state=State.DELETING)
    given = {"name": "node-1", "endpoint": pem().body()}
    response = api(ada).post(path(docker, "/nodes"), given)
    assert (response.status_code, response.json()["code"]) == (409, "cluster_deleting")
    assert not Node.objects.exists()
    assert not Endpoint.objects.exists()


def test_its_credentials_can_still_be_repaired(api, ada, kube):
    Cluster.objects.update(state=State.DELETING)
    response = api(ada).patch(path(kube), {"kubeconfig": kubeconfig()})
    assert (response.status_code, response.json()["state"]) == (200, "DELETING")
