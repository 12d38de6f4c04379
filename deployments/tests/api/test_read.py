"""GET /api/deployments/{id}"""

import pytest

from clusters.tests.allocation import make_cluster
from deployments import redis_queues
from deployments.models import Status, WaitReason
from deployments.tests.workloads import make

PREEMPTED = {"by": "0199d1c5", "priority": "HIGH", "lost_s": 90}
SHORT = {
    "short": {"gpu": 2},
    "requested": {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 4},
    "free": {"cpu_milli": 500, "ram_mib": 100, "gpu": 2},
}


def path(deployment):
    return f"/api/deployments/{deployment.pk}"


def waits(deployment, code, details):
    WaitReason.objects.create(
        cluster=deployment.cluster,
        scheduling_key=deployment.scheduling_key,
        code=code,
        details=details,
    )


@pytest.mark.parametrize(
    ("person", "status"), [("ada", 200), ("dev", 200), ("vera", 200), ("sam", 404)]
)
def test_each_role_gets_its_answer(api, dev, cluster, person, status, request):
    deployment = make(cluster, dev)
    assert api(request.getfixturevalue(person)).get(path(deployment)).status_code == status


def test_nobody_without_a_token(anyone, dev, cluster):
    assert anyone.get(path(make(cluster, dev))).status_code == 401


@pytest.mark.parametrize("wrong", ["7", "nonsense", "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"])
def test_what_is_not_there(api, dev, cluster, wrong):
    assert api(dev).get(f"/api/deployments/{wrong}").status_code == 404


def test_a_waiting_one_tells_why(api, dev, cluster):
    deployment = make(cluster, dev)
    waits(deployment, "INSUFFICIENT_CAPACITY", SHORT)
    assert api(dev).get(path(deployment)).json()["reason"] == {
        "code": "INSUFFICIENT_CAPACITY",
        "message": "Needs 2 more GPUs: asks for 4, 2 are free.",
        "details": {
            "short": {"gpu": 2},
            "requested": {"cpu": 4, "ram": 8192, "gpu": 4},
            "free": {"cpu": 0.5, "ram": 100, "gpu": 2},
        },
    }


def test_another_clusters_reason_is_not_its_own(api, dev, org, cluster):
    deployment = make(cluster, dev)
    waits(make(make_cluster(org, name="east"), dev), "QUOTA_EXCEEDED", {})
    assert api(dev).get(path(deployment)).json()["reason"]["code"] == "NOT_YET_EVALUATED"


def test_an_evicted_one_tells_by_whom_and_what_it_waits_for(api, dev, cluster):
    deployment = make(
        cluster, dev, reason_code="PREEMPTED", reason_details=PREEMPTED, preemption_count=1
    )
    waits(deployment, "INSUFFICIENT_CAPACITY", SHORT)
    reason = api(dev).get(path(deployment)).json()["reason"]
    assert reason["code"] == "PREEMPTED"
    assert reason["message"] == (
        "Made room for a deployment (0199d1c5…) (HIGH), losing 90 s of work. "
        "Needs 2 more GPUs: asks for 4, 2 are free."
    )
    waiting_for = reason["details"].pop("waiting_for")
    assert reason["details"] == PREEMPTED
    assert waiting_for["code"] == "INSUFFICIENT_CAPACITY"


def test_a_running_one_has_none(api, dev, cluster):
    deployment = make(
        cluster, dev, Status.RUNNING, reason_code="PREEMPTED", reason_details=PREEMPTED
    )
    answer = api(dev).get(path(deployment)).json()
    assert answer["reason"] is None
    assert answer["queue_position"] is None
    assert answer["placement"] == [{"node_id": None, "node": None, "replicas": 1}]


def test_an_ended_one_tells_how(api, dev, cluster):
    deployment = make(
        cluster,
        dev,
        Status.FAILED,
        reason_code="MAX_RUNTIME_EXCEEDED",
        reason_details={"max_runtime_s": 60},
    )
    reason = api(dev).get(path(deployment)).json()["reason"]
    assert reason["message"] == "Ran longer than the 60 s that it was allowed."
    assert api(dev).get(path(make(cluster, dev, Status.COMPLETED))).json()["reason"] is None


def test_values_of_the_environment_stay_inside(api, dev, cluster):
    deployment = make(cluster, dev, env={"B": "s3cret", "A": "s3cret"})
    response = api(dev).get(path(deployment))
    assert response.json()["env_names"] == ["A", "B"]
    assert "s3cret" not in response.text


def test_redis_away_leaves_the_place_open(api, dev, cluster, settings, tmp_path):
    deployment = make(cluster, dev)
    redis_queues.enter(cluster.pk, [("LOW", deployment.pk, 0)])
    assert api(dev).get(path(deployment)).json()["queue_position"] == 1
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    assert api(dev).get(path(deployment)).json()["queue_position"] is None


@pytest.mark.parametrize(("status", "queries"), [(Status.QUEUED, 7), (Status.RUNNING, 4)])
def test_it_takes_few_queries(api, dev, cluster, status, queries, django_assert_num_queries):
    deployment = make(cluster, dev, status)
    # the caller, the deployment, what it depends on, where it was; for a waiting one the classes
    # and the reason
    with django_assert_num_queries(queries):
        api(dev).get(path(deployment))
