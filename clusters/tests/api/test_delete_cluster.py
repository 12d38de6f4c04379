"""DELETE /api/clusters/{id}"""

from functools import partial

import pytest

from clusters.models import Cluster
from deployments.models import Deployment, DeploymentEvent, Status, WaitReason
from deployments.tests.workloads import body, make
from organizations.models import OrganizationEvent
from organizations.tests.people import all_at_once


def path(cluster, query=""):
    return f"/api/clusters/{cluster.pk}{query}"


@pytest.mark.parametrize("query", ["", "?force=false", "?force=true"])
def test_an_admin_deletes_an_empty_cluster(api, ada, cluster, query):
    assert api(ada).delete(path(cluster, query)).status_code == 204
    assert not Cluster.objects.exists()


def test_the_ended_go_with_it(api, ada, cluster):
    for status in (Status.COMPLETED, Status.FAILED, Status.STOPPED):
        ended = make(cluster, ada, status)
        DeploymentEvent.objects.create(deployment=ended, type="SUBMITTED")
    assert api(ada).delete(path(cluster)).status_code == 204
    assert not Cluster.objects.exists()
    assert not Deployment.objects.exists()
    assert not DeploymentEvent.objects.exists()
    assert OrganizationEvent.objects.latest("pk").type == "CLUSTER_DELETED"


@pytest.mark.parametrize(
    "status", [Status.QUEUED, Status.STARTING, Status.RUNNING, Status.STOPPING]
)
def test_a_cluster_with_waiting_or_running_deployments_stays(api, ada, cluster, status):
    make(cluster, ada, status)
    make(cluster, ada, Status.COMPLETED)
    response = api(ada).delete(path(cluster))
    assert response.status_code == 409
    assert response.json()["code"] == "cluster_in_use"
    assert response.json()["detail"].startswith("1 deployment waits or runs here: ")
    assert Cluster.objects.count() == 1
    assert Deployment.objects.count() == 2


def test_force_takes_all_with_it(api, ada, cluster):
    waiting = make(cluster, ada)
    make(cluster, ada, Status.RUNNING)
    for deployment in (waiting, None):
        WaitReason.objects.create(
            cluster=cluster, scheduling_key="x", code="QUOTA_EXCEEDED", deployment=deployment
        )
    assert api(ada).delete(path(cluster, "?force=true")).status_code == 204
    assert not Cluster.objects.exists()
    assert not Deployment.objects.exists()
    assert not WaitReason.objects.exists()


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("query", ["", "?force=true", "?force=nonsense"])
def test_others_may_not(api, cluster, person, status, query, request):
    response = api(request.getfixturevalue(person)).delete(path(cluster, query))
    assert response.status_code == status
    assert Cluster.objects.count() == 1


@pytest.mark.parametrize("query", ["?force=yes", "?force=", "?forec=true"])
def test_a_bad_parameter_deletes_nothing(api, ada, cluster, query):
    assert api(ada).delete(path(cluster, query)).status_code == 400
    assert Cluster.objects.count() == 1


def test_deleting_twice(api, ada, cluster):
    assert api(ada).delete(path(cluster)).status_code == 204
    assert api(ada).delete(path(cluster)).status_code == 404


def test_submits_that_come_between_are_answered(transactional_db, api, ada, cluster):
    submits = [partial(api(ada).post, "/api/deployments", body(cluster)) for _ in range(4)]
    deletes = [partial(api(ada).delete, path(cluster, "?force=true")) for _ in range(2)]
    answers = [answer.status_code for answer in all_at_once(*submits, *deletes)]
    assert set(answers[:4]) <= {201, 404}
    assert sorted(answers[4:]) == [204, 404]
    assert not Cluster.objects.exists()
    assert not Deployment.objects.exists()
