"""POST /api/deployments/{id}/rerun"""

from typing import Any

import pytest

from deployments.env import unsealed
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.tests.workloads import body, make
from organizations.secrets import owners
from organizations.secrets.services import put_secret

PATH = "/api/deployments"
WHOLE: dict[str, Any] = {
    "name": "lr-7",
    "labels": {"sweep": "lr"},
    "priority": "HIGH",
    "command": ["python"],
    "args": ["train.py"],
    "env": {"SEED": "1", "TOKEN": "s3cret"},
    "shm_mib": 64,
    "workdir": "/work",
    "stop_signal": "SIGUSR1",
    "replicas": 2,
    "max_runtime_s": 60,
    "simulated_runtime_s": 1.5,
    "grace_s": 7,
    "max_retries": 3,
    "retry_on": ["75"],
    "retry_ram_factor": 1.5,
    "retry_ram_limit": 2048,
    "on_preempt": "fail",
    "readiness": {"kind": "tcp", "port": 80},
}
OWN = {"id", "rerun_of", "created_at", "reason", "queue_position", "status", "finished_at"}


def path(deployment_id):
    return f"{PATH}/{deployment_id}/rerun"


def submitted(client, cluster, **fields):
    answer = client.post(PATH, body(cluster, **fields))
    assert answer.status_code == 201, answer.content
    return answer.json()


def env_of(answer):
    return unsealed(Deployment.objects.get(pk=answer["id"]).env)


@pytest.mark.parametrize("status", [Status.FAILED, Status.COMPLETED, Status.QUEUED])
def test_it_asks_for_the_same_in_every_field(api, dev, cluster, status):
    first = submitted(api(dev), cluster, **WHOLE)
    Deployment.objects.filter(pk=first["id"]).update(status=status)
    answer = api(dev).post(path(first["id"]), {})
    assert answer.status_code == 201, answer.content
    again = answer.json()
    assert {**again, **{name: first[name] for name in OWN}} == first
    assert (again["rerun_of"], again["status"]) == (first["id"], "QUEUED")
    assert env_of(again) == {"SEED": "1", "TOKEN": "s3cret"}
    rows = Deployment.objects.filter(pk__in=[first["id"], again["id"]])
    assert rows.values("scheduling_key").distinct().count() == 1
    assert DeploymentEvent.objects.filter(deployment=again["id"]).count() == 1


def test_what_the_body_names_is_other_and_the_rest_stays(api, dev, cluster):
    first = submitted(api(dev), cluster, **WHOLE)
    changes = {
        "required_ram": 1024,
        "args": ["other.py"],
        "workdir": "/other",
        "shm_mib": None,
        "retry_on": None,
        "labels": {},
        "priority": "low",
    }
    env = {"SEED": "2", "TOKEN": None, "NEW": "x"}
    again = api(dev).post(path(first["id"]), {**changes, "env": env}).json()
    assert {name: again[name] for name in changes} == {**changes, "priority": "LOW"}
    same = set(first) - OWN - set(changes) - {"env_names"}
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    assert env_of(again) == {"SEED": "2", "NEW": "x"}


def test_memory_that_has_grown_to_its_limit_is_asked_for_without_the_rule(api, dev, cluster):
    first = submitted(api(dev), cluster, **WHOLE)
    Deployment.objects.filter(pk=first["id"]).update(ram_mib=2048)
    again = api(dev).post(path(first["id"]), {}).json()
    assert (again["required_ram"], again["retry_ram_limit"], again["retry_on"]) == (
        *(2048, None),
        ["75"],
    )


def test_it_waits_for_what_has_not_completed(api, dev, cluster):
    ids = [submitted(api(dev), cluster)["id"] for _ in range(2)]
    first = submitted(api(dev), cluster, depends_on=ids)
    Deployment.objects.filter(pk=ids[0]).update(status=Status.COMPLETED)
    assert api(dev).post(path(first["id"]), {}).json()["depends_on"] == [ids[1]]
    Deployment.objects.filter(pk=ids[1]).update(status=Status.FAILED)
    assert api(dev).post(path(first["id"]), {}).json()["code"] == "dependency_failed"
    assert api(dev).post(path(first["id"]), {"depends_on": []}).status_code == 201


@pytest.mark.parametrize(("person", "status"), [("ada", 201), ("vera", 403), ("sam", 404)])
def test_each_role_gets_its_answer(api, dev, cluster, person, status, request):
    first = submitted(api(dev), cluster)
    user = request.getfixturevalue(person)
    answer = api(user).post(path(first["id"]), {})
    assert answer.status_code == status
    assert Deployment.objects.count() == 1 + (status == 201)
    if status == 201:
        assert answer.json()["owner_id"] == str(user.pk)
    assert api(user).post(path(first["id"]), {"nonsense": 1}).status_code in (400, status)


def test_who_is_not_the_owner_gives_its_environment_to_no_other_program(api, ada, dev, cluster):
    first = submitted(api(dev), cluster, env={"TOKEN": "s3cret"})
    programs: list[dict[str, Any]] = [
        *({"image": "mine:1"}, {"command": ["env"]}, {"args": ["x"]}, {"env": {"PATH": "/x"}}),
        *({"readiness": {"kind": "command", "command": ["env"]}}, {"pre_stop": ["env"]}),
        *({"volumes": [{"name": "v", "path": "/v"}]}, {"workdir": "/x"}, {"kind": "service"}),
        {"secrets": [{"name": "s", "env": "X"}]},
    ]
    for change in programs:
        answer = api(ada).post(path(first["id"]), change)
        assert (answer.status_code, answer.json().get("code")) == (403, "not_owner"), change
    assert Deployment.objects.count() == 1
    again = api(ada).post(path(first["id"]), {"required_ram": 1024, "labels": {"a": "b"}})
    assert (again.status_code, env_of(again.json())) == (201, {"TOKEN": "s3cret"})
    plain = submitted(api(dev), cluster)
    assert api(ada).post(path(plain["id"]), {"image": "mine:1"}).status_code == 201


def test_an_environment_stays_its_owners_through_each_rerun(api, ada, dev, cluster):
    first = submitted(api(dev), cluster, env={"TOKEN": "s3cret"})
    own = api(ada).post(path(first["id"]), {}).json()
    many = {"action": "rerun", "ids": [own["id"]]}
    second = api(ada).post(f"{PATH}/actions", many).json()["submitted"][0]
    reruns = [own["id"], second, api(ada).post(path(second), {}).json()["id"]]
    programs: list[dict[str, Any]] = [
        {"image": "mine:1"},
        {"command": ["env"]},
        {"env": {"A": "b"}},
    ]
    for each in reruns:
        for change in programs:
            tried = (
                api(ada).patch(f"{PATH}/{each}", change),
                api(ada).post(path(each), change),
            )
            for answer in tried:
                assert (answer.status_code, answer.json().get("code")) == (403, "not_owner"), change
    assert Deployment.objects.filter(image="mine:1").count() == 0
    back = api(dev).post(path(reruns[-1]), {"args": ["x"]}).json()
    assert env_of(back) == {"TOKEN": "s3cret"}
    assert api(dev).patch(f"{PATH}/{back['id']}", {"command": ["y"]}).status_code == 200
    bare = api(dev).patch(f"{PATH}/{own['id']}", {"env": {"TOKEN": None}})
    assert (bare.status_code, bare.json()["env_names"]) == (200, [])
    for _ in range(2):  # now hers, and so is what she gives it
        assert api(ada).patch(f"{PATH}/{own['id']}", {"env": {"B": "c"}}).status_code == 200


def test_a_persons_secrets_are_those_of_who_runs_it_again(api, ada, dev, cluster):
    put_secret(dev, owners.person(dev.pk), "token", "of dev")
    secrets = [{"name": "token", "env": "TOKEN", "scope": "person"}]
    first = submitted(api(dev), cluster, secrets=secrets)
    assert api(dev).post(path(first["id"]), {}).json()["secrets"] == first["secrets"]
    assert list(api(ada).post(path(first["id"]), {}).json()["fields"]) == ["secrets"]
    put_secret(ada, owners.person(ada.pk), "token", "of ada")
    assert api(ada).post(path(first["id"]), {}).json()["secrets"] == first["secrets"]


@pytest.mark.parametrize(
    "change",
    [
        {"cluster_id": "x"},
        {"quote": "x"},
        {"required_gpu": -1},
        {"env": {"MLOPS_X": "y"}},
        {"image": None},
        {"priority": "medium"},
        {"node_selector": {"zone": "b"}},
    ],
)
def test_bad_values_are_named_and_nothing_is_submitted(api, dev, cluster, change):
    first = submitted(api(dev), cluster)
    answer = api(dev).post(path(first["id"]), change)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, list(change))
    assert Deployment.objects.count() == 1


def test_a_key_makes_it_once(api, dev, cluster):
    first = submitted(api(dev), cluster, env={"A": "b"})
    headers = {"Idempotency-Key": "again"}
    answers = [api(dev).post(path(first["id"]), {}, headers=headers) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    other = api(dev).post(path(first["id"]), {"args": ["x"]}, headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"


def test_an_environment_that_no_key_opens_is_said_to_be_so(api, dev, cluster):
    row = make(cluster, dev)
    Deployment.objects.filter(pk=row.pk).update(env=["TOKEN", "gAAAA"])
    answer = api(dev).post(path(row.pk), {})
    assert (answer.status_code, answer.json()["code"]) == (409, "env_sealed")
