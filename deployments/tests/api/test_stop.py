"""POST …/stop, DELETE and the older clients' POST /api/deployments/{id}"""

from functools import partial

import pytest
from django.utils import timezone

from clusters.tests.allocation import make_cluster
from deployments.models import ENDED, Deployment, Status
from deployments.services.stop import stop, stop_one
from deployments.signals import deployment_stopped
from deployments.tests.interleaving import after_statement
from deployments.tests.workloads import allocated, make, timeline
from organizations.tests.people import all_at_once


def path(deployment, action=""):
    return f"/api/deployments/{deployment.pk}{action}"


def stop_by_post(client, deployment):
    return client.post(path(deployment, "/stop"))


def stop_by_delete(client, deployment):
    return client.delete(path(deployment))


def stop_of_cluster(client, deployment):
    return client.post(path(deployment), {"cluster_id": str(deployment.cluster_id)})


WAYS = [stop_by_post, stop_by_delete, stop_of_cluster]


@pytest.fixture
def woken():
    """The signals that the scheduler received."""
    heard = []

    def hear(cluster_id, deployment_ids, trigger, **_):
        heard.append((cluster_id, list(deployment_ids), trigger))

    deployment_stopped.connect(hear)
    yield heard
    deployment_stopped.disconnect(hear)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "status", [Status.QUEUED, Status.STARTING, Status.RUNNING, Status.STOPPING]
)
def test_what_goes_on_is_stopped(api, dev, cluster, woken, way, status):
    other = make(cluster, dev, Status.RUNNING, gpu=2)
    deployment = make(cluster, dev, status, replicas=2, reason_code="PREEMPTED")
    response = way(api(dev), deployment)
    assert response.status_code == (204 if way is stop_by_delete else 200)
    deployment.refresh_from_db()
    assert deployment.status == Status.STOPPED
    assert deployment.finished_at is not None
    assert deployment.placement == []
    assert deployment.reason_code == ""
    assert timeline(deployment) == [("STOPPED", "dev")]
    assert allocated(cluster) == (1000, 512, 2)
    assert woken == [(cluster.pk, [deployment.pk], "STOPPED")]
    assert Deployment.objects.get(pk=other.pk).status == Status.RUNNING
    if way is not stop_by_delete:
        answer = response.json()
        assert (answer["status"], answer["reason"], answer["queue_position"]) == (
            "STOPPED",
            None,
            None,
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.STOPPED])
def test_what_has_ended_stays_as_it_is(api, dev, cluster, woken, way, status):
    deployment = make(cluster, dev, status)
    assert way(api(dev), deployment).status_code in (200, 204)
    deployment.refresh_from_db()
    assert deployment.status == status
    assert timeline(deployment) == []
    assert woken == []


@pytest.mark.parametrize("way", WAYS)
def test_stopping_twice_is_fine(api, dev, cluster, woken, way):
    deployment = make(cluster, dev, Status.RUNNING)
    first, second = way(api(dev), deployment), way(api(dev), deployment)
    assert first.status_code == second.status_code
    assert first.content == second.content
    assert timeline(deployment) == [("STOPPED", "dev")]
    assert allocated(cluster) == (0, 0, 0)
    assert len(woken) == 1


@pytest.mark.parametrize("way", [stop_by_post, stop_of_cluster])
@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
@pytest.mark.parametrize("ended", ENDED)
def test_one_that_ends_before_the_stop_takes_effect_is_answered_as_it_is(
    api, dev, cluster, woken, way, status, ended
):
    deployment = make(cluster, dev, status)
    rows = Deployment.objects.filter(pk=deployment.pk)

    def end() -> None:
        rows.update(status=ended, placement=[], finished_at=timezone.now())

    with after_statement('FROM "deployments_deployment"', end):
        answer = way(api(dev), deployment)
    assert (answer.status_code, answer.json()["status"]) == (200, ended)
    assert timeline(deployment) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("person", "status"), [("ada", None), ("vera", 403), ("sam", 404)])
def test_each_role_gets_its_answer(api, dev, cluster, woken, way, person, status, request):
    deployment = make(cluster, dev, Status.RUNNING)
    response = way(api(request.getfixturevalue(person)), deployment)
    deployment.refresh_from_db()
    if status is None:  # a teammate with a role may
        assert response.status_code in (200, 204)
        assert deployment.status == Status.STOPPED
    else:
        assert response.status_code == status
        assert deployment.status == Status.RUNNING
        assert allocated(cluster) == (1000, 512, 1)
        assert woken == []


@pytest.mark.parametrize("way", WAYS)
def test_nobody_without_a_token(anyone, dev, cluster, way):
    deployment = make(cluster, dev)
    assert way(anyone, deployment).status_code == 401
    deployment.refresh_from_db()
    assert deployment.status == Status.QUEUED


@pytest.mark.parametrize("wrong", ["another", "nonsense", 7, None])
def test_an_older_client_must_name_its_cluster(api, dev, org, cluster, wrong):
    deployment = make(cluster, dev)
    other = make_cluster(org, name="east")
    response = api(dev).post(
        path(deployment), {"cluster_id": str(other.pk) if wrong == "another" else wrong}
    )
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["cluster_id"]
    deployment.refresh_from_db()
    assert deployment.status == Status.QUEUED


def test_a_stop_takes_no_body(api, dev, cluster):
    deployment = make(cluster, dev)
    assert api(dev).post(path(deployment, "/stop"), {"force": True}).status_code == 400
    assert api(dev).post(path(deployment, "/stop"), {}).status_code == 200


def test_a_queued_one_takes_no_lock_of_the_cluster(api, dev, cluster, django_assert_num_queries):
    deployment = make(cluster, dev)
    # the caller, the deployment, their role; in a savepoint the write, its dependents, the
    # interval, the event; the answer's two
    with django_assert_num_queries(11) as captured:
        stop_by_post(api(dev), deployment)
    sql = [query["sql"] for query in captured]
    assert not any("FOR NO KEY UPDATE" in each and "clusters_cluster" in each for each in sql)


def test_a_running_one_takes_both_locks(api, dev, cluster, django_assert_num_queries):
    deployment = make(cluster, dev, Status.RUNNING)
    # as above, but in the savepoint: the cluster, the row, the write, the release and the interval,
    # what depends on it, the event
    with django_assert_num_queries(14):
        stop_by_post(api(dev), deployment)


def test_operators_stop_many_in_several_clusters(dev, ada, org, cluster, woken):
    east = make_cluster(org, name="east")
    here = [make(cluster, dev), make(cluster, dev, Status.RUNNING)]
    there = [make(east, dev, Status.RUNNING)]
    ended = make(east, dev, Status.COMPLETED)
    assert stop([row.pk for row in [*here, *there, ended]], ada) == 3
    assert allocated(cluster) == allocated(east) == (0, 0, 0)
    assert timeline(here[0]) == timeline(there[0]) == [("STOPPED", "ada")]
    assert timeline(ended) == []
    assert {(pk, len(ids)) for pk, ids, _ in woken} == {(cluster.pk, 2), (east.pk, 1)}
    assert stop([row.pk for row in [*here, *there, ended]], ada) == 0


def test_one_started_since_it_was_read(dev, cluster):
    read = make(cluster, dev)
    Deployment.objects.filter(pk=read.pk).update(
        status=Status.RUNNING, placement=[{"node_id": None, "node": None, "replicas": 1}]
    )
    cluster.allocated_cpu_milli, cluster.allocated_ram_mib, cluster.allocated_gpu = 1000, 512, 1
    cluster.save()
    assert stop_one(read, dev)
    assert allocated(cluster) == (0, 0, 0)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_a_race_of_stops_stops_once(transactional_db, api, dev, cluster, status):
    deployment = make(cluster, dev, status)
    calls = [partial(stop_by_post, api(dev), deployment) for _ in range(6)]
    assert [answer.status_code for answer in all_at_once(*calls)] == [200] * 6
    assert timeline(deployment) == [("STOPPED", "dev")]
    assert allocated(cluster) == (0, 0, 0)
