"""POST /api/deployments"""

from uuid import UUID

import pytest

from deployments import redis_queues
from deployments.env import unsealed
from deployments.models import Deployment, DeploymentEvent, PriorityClass
from deployments.tests.workloads import allocated, body, timeline
from mlops_platform.api.ids import milliseconds, moment, time_of

PATH = "/api/deployments"


def test_a_developer_submits(api, dev, cluster):
    response = api(dev).post(PATH, body(cluster))
    assert response.status_code == 201
    answer = response.json()
    row = Deployment.objects.get()
    assert row.created_at == row.queued_at
    assert time_of(row.pk) == moment(milliseconds(row.created_at))
    assert answer.pop("created_at").startswith(row.created_at.strftime("%Y-%m-%dT%H:%M:%S."))
    assert answer == {
        "id": str(row.pk),
        "name": "train",
        "rerun_of_name": None,
        "sweep_id": None,
        "sweep": None,
        "sweep_index": None,
        "cluster_id": str(cluster.pk),
        "cluster": "west",
        "organization_id": str(cluster.organization_id),
        "organization": "Analytical Engines",
        "owner_id": str(dev.pk),
        "owner": "dev",
        "image": "registry.example.com/team/train:1.2",
        "command": [],
        "args": [],
        "env_names": [],
        "secrets": [],
        "kind": "job",
        "required_cpu": 1,
        "required_ram": 512,
        "required_gpu": 1,
        "exclusive": False,
        "given": None,
        "shm_mib": None,
        "ephemeral_mib": None,
        "user": "",
        "workdir": "",
        "ulimits": {},
        "volumes": [],
        "pull_policy": "if_missing",
        "image_digest": "",
        "replicas": 1,
        "node_selector": {},
        "labels": {},
        "rerun_of": None,
        "warnings": [],
        "priority": "LOW",
        "status": "QUEUED",
        "reason": {
            "code": "NOT_YET_EVALUATED",
            "message": "The scheduler has not looked at it yet.",
            "details": {},
        },
        "eta": None,
        "queue_position": None,  # the queue is entered on commit, which a test never comes to
        "depends_on": [],
        "depends_on_names": [],
        "placement": [],
        "max_runtime_s": None,
        "simulated_runtime_s": None,
        "grace_s": 30,
        "stop_signal": None,
        "pre_stop": [],
        "checkpoint_file": None,
        "max_retries": 0,
        "retry_on": None,
        "fail_on": None,
        "retry_ram_factor": None,
        "retry_ram_limit": None,
        "on_preempt": "requeue",
        "readiness": None,
        "attempt": 0,
        "retry_count": 0,
        "preemption_count": 0,
        "started_at": None,
        "checkpoint_at": None,
        "finished_at": None,
        "exit_code": None,
    }
    assert timeline(row) == [("SUBMITTED", "dev")]
    assert allocated(cluster) == (0, 0, 0)


def test_everything_that_can_be_given(api, dev, cluster):
    given = {
        "name": "Résumé run",
        "required_cpu": 0.5,
        "priority": "high",
        "command": ["python", "-c"],
        "args": ["", " two  spaces ", "--x"],
        "env": {"TOKEN": "s3cret", "_seed1": "", "mlops_x": "mine", "MY_MLOPS_X": "too"},
        "replicas": 3,
        "kind": "service",
        "max_runtime_s": 60,
        "simulated_runtime_s": 30,
        "grace_s": 0,
        "max_retries": 100,
    }
    response = api(dev).post(PATH, body(cluster, **given))
    assert response.status_code == 201
    env = given.pop("env")
    answer = response.json()
    assert {name: answer[name] for name in given} == {**given, "priority": "HIGH"}
    assert answer["env_names"] == ["MY_MLOPS_X", "TOKEN", "_seed1", "mlops_x"]
    assert "s3cret" not in response.text
    row = Deployment.objects.get()
    assert unsealed(row.env) == env
    assert row.cpu_milli == 500
    assert row.scheduling_key == "HIGH/500/512/1x3/t60"


def test_its_place_in_the_queue_is_told(transactional_db, api, dev, cluster):
    first = api(dev).post(PATH, body(cluster)).json()
    second = api(dev).post(PATH, body(cluster)).json()
    urgent = api(dev).post(PATH, body(cluster, priority="HIGH")).json()
    assert [row["queue_position"] for row in (first, second, urgent)] == [1, 2, 1]
    assert redis_queues.lengths(cluster.pk, ["HIGH", "LOW"]) == {"HIGH": 1, "LOW": 2}


def test_a_redis_that_is_away_refuses_nobody(
    transactional_db, api, dev, cluster, settings, tmp_path
):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    response = api(dev).post(PATH, body(cluster))
    assert (response.status_code, response.json()["queue_position"]) == (201, None)
    stopped = api(dev).post(f"{PATH}/{response.json()['id']}/stop")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "STOPPED")


def test_more_than_the_cluster_has_is_taken(api, dev, cluster):
    response = api(dev).post(PATH, body(cluster, required_gpu=5000, required_cpu=10_000_000))
    assert response.status_code == 201


def test_it_takes_few_queries(api, dev, cluster, django_assert_num_queries):
    # the caller, the cluster, their role, the priority classes;
    # the time, two inserts and what the limits of the queue leave, between a savepoint and its
    # release; whether a node is large enough
    assert api(dev).post(PATH, body(cluster)).status_code == 201  # counts the queue
    with django_assert_num_queries(11):
        assert api(dev).post(PATH, body(cluster)).status_code == 201


@pytest.mark.parametrize(("person", "status"), [("ada", 201), ("vera", 403), ("sam", 404)])
def test_each_role_gets_its_answer(api, cluster, person, status, request):
    response = api(request.getfixturevalue(person)).post(PATH, body(cluster))
    assert response.status_code == status
    assert Deployment.objects.count() == DeploymentEvent.objects.count() == (status == 201)


def test_nobody_without_a_token(anyone, cluster):
    assert anyone.post(PATH, body(cluster)).status_code == 401
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("cluster_id", [7, "nonsense", "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"])
def test_a_cluster_that_is_not_there(api, dev, cluster, cluster_id):
    assert api(dev).post(PATH, body(cluster, cluster_id=cluster_id)).status_code == 404


@pytest.mark.parametrize("field", ["cluster_id", "image", "required_cpu", "required_ram"])
def test_each_of_these_is_needed(api, dev, cluster, field):
    response = api(dev).post(PATH, body(cluster, **{field: None}))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]


def test_low_is_what_nobody_asks_for(api, dev, cluster):
    assert api(dev).post(PATH, body(cluster, priority=None)).json()["priority"] == "LOW"


def test_operators_classes_can_be_named(api, dev, cluster):
    PriorityClass.objects.create(name="URGENT", value=2000)
    assert api(dev).post(PATH, body(cluster, priority="Urgent")).json()["priority"] == "URGENT"


def test_an_unknown_class_is_told_which_there_are(api, dev, cluster):
    response = api(dev).post(PATH, body(cluster, priority="medium"))
    assert response.status_code == 400
    assert response.json()["fields"] == {"priority": ["One of HIGH, LOW."]}
    assert not Deployment.objects.exists()


BAD = [
    ("cluster_id", True),
    ("cluster_id", {}),
    ("image", ""),
    ("image", "has space"),
    ("image", "team/UPPER"),
    ("image", "train:"),
    ("image", "a" * 513),
    ("image", "train\n"),
    ("image", "../train"),
    ("image", 7),
    ("required_cpu", 0),
    ("required_cpu", "1 core"),
    ("required_ram", "1"),
    ("required_cpu", 0.0005),
    ("required_cpu", -1),
    ("required_cpu", False),
    ("required_ram", 0),
    ("required_ram", 1.5),
    ("required_ram", 10**30),
    ("required_gpu", -1),
    ("required_gpu", 0.5),
    ("required_gpu", "0"),
    ("priority", 7),
    ("priority", ""),
    ("name", "x" * 101),
    ("command", "python"),
    ("command", [1]),
    ("args", ["x"] * 1001),
    ("args", ["x" * 128 * 1024]),
    ("args", {}),
    ("env", []),
    ("env", {"1X": "a"}),
    ("env", {"A-B": "a"}),
    ("env", {"": "a"}),
    ("env", {"SEED": "1", "MLOPS_REPLICA": "7"}),
    ("env", {"MLOPS_GANG": "x"}),
    ("env", {"MLOPS_": ""}),
    ("env", {"NVIDIA_VISIBLE_DEVICES": "all"}),
    ("env", {"A": 1}),
    ("env", {"A": None}),
    ("env", {f"A{number}": "" for number in range(257)}),
    ("replicas", 0),
    ("replicas", 1001),
    ("kind", "daemon"),
    ("max_runtime_s", 0),
    ("max_runtime_s", 31_536_001),
    ("max_runtime_s", 1.5),
    ("simulated_runtime_s", 0),
    ("simulated_runtime_s", 0.0001),
    ("simulated_runtime_s", 0.0005),
    ("simulated_runtime_s", 1.0001),
    ("simulated_runtime_s", 31_536_000.001),
    ("simulated_runtime_s", "0.25"),
    ("grace_s", -1),
    ("grace_s", 3601),
    ("max_retries", 101),
    ("node_selector", {"zone": "b"}),  # in a pool
    ("node_selector", {"-zone": "b"}),
    ("node_selector", {"zone": 1}),
    ("quote", "x"),
    ("status", "RUNNING"),
    ("id", "x"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_values_are_named(api, dev, cluster, field, value):
    response = api(dev).post(PATH, body(cluster, **{field: value}))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("sent", ["[]", "7", '"x"', "null", "{", '{"required_cpu": NaN}', "\x00"])
def test_what_is_no_object_is_refused(api, dev, cluster, sent):
    response = api(dev).post(PATH, sent, content_type="application/json")
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "nginx"),
        ("train:1.2", "train"),
        ("localhost:5000/team/big_model", "big_model"),
        ("Registry.Example.com/a/b/c-d:V1@sha256:" + "0" * 64, "c-d"),
    ],
)
def test_the_image_gives_the_name(api, dev, cluster, image, name):
    for given in (None, ""):
        answer = api(dev).post(PATH, body(cluster, image=image, name=given)).json()
        assert (answer["image"], answer["name"]) == (image, name)


def test_ids_rise_with_time(api, dev, cluster):
    ids = [UUID(api(dev).post(PATH, body(cluster)).json()["id"]) for _ in range(5)]
    assert ids == sorted(ids)
    rows = Deployment.objects.order_by("created_at", "id").values_list("id", flat=True)
    assert list(rows) == ids
