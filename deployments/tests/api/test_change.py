"""PATCH /api/deployments/{id}"""

from functools import partial

import pytest

from deployments.env import unsealed
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.queries.deployments import deployment_by_id
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_one
from deployments.signals import deployment_stopped
from deployments.tests.workloads import allocated, make, timeline
from organizations.tests.people import all_at_once

ENDED = [Status.COMPLETED, Status.FAILED, Status.STOPPED]
GOING_ON = [Status.QUEUED, Status.STARTING, Status.RUNNING, Status.STOPPING]


def path(deployment):
    return f"/api/deployments/{deployment.pk}"


@pytest.fixture
def woken():
    heard = []

    def hear(deployment_ids, trigger, **_):
        heard.append((list(deployment_ids), trigger))

    deployment_stopped.connect(hear)
    yield heard
    deployment_stopped.disconnect(hear)


def row(deployment):
    found = Deployment.objects.get(pk=deployment.pk)
    return {field.name: getattr(found, field.name) for field in found._meta.concrete_fields}


def shown(deployment):
    return DeploymentEvent.objects.get(deployment=deployment).details


@pytest.mark.parametrize("status", GOING_ON)
def test_the_priority_until_it_ends(api, dev, cluster, woken, status):
    deployment = make(cluster, dev, status)
    response = api(dev).patch(path(deployment), {"priority": "high"})
    assert response.status_code == 200
    assert response.json()["priority"] == "HIGH"
    assert row(deployment)["scheduling_key"] == "HIGH/1000/512/1x1"
    assert timeline(deployment) == [("CHANGED", "dev")]
    assert shown(deployment) == {"priority": {"from": "LOW", "to": "HIGH"}}
    assert woken == [([deployment.pk], "CHANGED")]


@pytest.mark.parametrize("status", ENDED)
def test_not_after(api, dev, cluster, woken, status):
    deployment = make(cluster, dev, status)
    before = row(deployment)
    response = api(dev).patch(path(deployment), {"priority": "HIGH"})
    assert (response.status_code, response.json()["code"]) == (409, "ended")
    assert row(deployment) == before
    assert woken == []


@pytest.mark.parametrize("status", [*GOING_ON, *ENDED])
def test_the_name_at_any_time_and_the_scheduler_sleeps_on(api, dev, cluster, woken, status):
    deployment = make(cluster, dev, status)
    before = row(deployment)
    response = api(dev).patch(path(deployment), {"name": "again"})
    assert (response.status_code, response.json()["name"]) == (200, "again")
    assert row(deployment) == {**before, "name": "again"}
    assert shown(deployment) == {"name": {"from": "train", "to": "again"}}
    assert woken == []


def test_the_request_while_it_is_queued(api, dev, cluster, woken):
    deployment = make(cluster, dev)
    request = {"required_cpu": 2.5, "required_ram": 1024, "required_gpu": 0, "replicas": 2}
    response = api(dev).patch(path(deployment), request)
    assert response.status_code == 200
    assert {name: response.json()[name] for name in request} == request
    assert row(deployment)["scheduling_key"] == "LOW/2500/1024/0x2"
    assert shown(deployment)["required_cpu"] == {"from": 1, "to": 2.5}
    assert woken == [([deployment.pk], "CHANGED")]


@pytest.mark.parametrize(
    ("before", "to", "key"),
    [(None, 60, "/t60"), (7200, 3600, "/t3600"), (60, 7200, "/t7200"), (60, None, "")],
)
def test_the_time_limit_while_it_is_queued(api, dev, cluster, woken, before, to, key):
    deployment = make(cluster, dev, max_runtime_s=before)
    answer = api(dev).patch(path(deployment), {"max_runtime_s": to})
    assert (answer.status_code, answer.json()["max_runtime_s"]) == (200, to)
    assert row(deployment)["scheduling_key"] == f"LOW/1000/512/1x1{key}"
    assert shown(deployment) == {"max_runtime_s": {"from": before, "to": to}}
    assert woken == [([deployment.pk], "CHANGED")]


@pytest.mark.parametrize("status", [*GOING_ON[1:], *ENDED])
@pytest.mark.parametrize(
    "field", ["required_cpu", "required_ram", "required_gpu", "replicas", "max_runtime_s"]
)
def test_the_request_not_after(api, dev, cluster, woken, status, field):
    deployment = make(cluster, dev, status)
    before, counted = row(deployment), allocated(cluster)
    response = api(dev).patch(path(deployment), {field: 3, "name": "again"})
    assert (response.status_code, response.json()["code"]) == (409, "not_queued")
    assert row(deployment) == before
    assert allocated(cluster) == counted
    assert woken == []


@pytest.mark.parametrize("same", [{}, {"name": "train"}, {"priority": "low"}, {"required_gpu": 1}])
@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.COMPLETED])
def test_what_changes_nothing_is_no_event(api, dev, cluster, woken, same, status):
    deployment = make(cluster, dev, status)
    before = row(deployment)
    assert api(dev).patch(path(deployment), same).status_code == 200
    assert row(deployment) == before
    assert timeline(deployment) == []
    assert woken == []


@pytest.mark.parametrize(("person", "status"), [("ada", 200), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("change", [{"priority": "HIGH"}, {"nonsense": 1}])
def test_each_role_gets_its_answer(api, dev, cluster, person, status, change, request):
    deployment = make(cluster, dev)
    before = row(deployment)
    response = api(request.getfixturevalue(person)).patch(path(deployment), change)
    if status == 200 and "nonsense" in change:
        status = 400
    assert response.status_code == status
    assert (row(deployment) == before) == (status != 200)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "medium"),
        ("priority", None),
        ("name", ""),
        ("required_cpu", 0),
        ("required_gpu", -1),
        ("replicas", 0),
        ("max_runtime_s", 0),
        ("max_runtime_s", 366 * 24 * 3600),
        ("max_runtime_s", "1h"),
        ("image", "not an image"),
        ("status", "STOPPED"),
        ("env", {"1": "x"}),
        ("env", {"MLOPS_X": "x"}),
        ("env", {"A": 1}),
        ("args", "x"),
        ("command", ["x" * (128 * 1024)]),
        ("grace_s", 1),
    ],
)
def test_bad_values_are_named(api, dev, cluster, field, value):
    deployment = make(cluster, dev)
    before = row(deployment)
    response = api(dev).patch(path(deployment), {field: value})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert row(deployment) == before


def test_the_state_that_counts_is_the_one_under_the_lock(dev, cluster):
    """It was read while queued, and started before the change took the lock."""
    deployment = make(cluster, dev)
    read = deployment_by_id(deployment.pk)
    Deployment.objects.filter(pk=deployment.pk).update(status=Status.RUNNING)
    with pytest.raises(Exception, match="only while it is QUEUED"):
        change_deployment(dev, read, {"gpu": 2})
    assert row(deployment)["gpu"] == 1


def test_a_race_with_a_stop_ends_stopped(transactional_db, dev, cluster):
    deployment = deployment_by_id(make(cluster, dev).pk)
    change = partial(change_deployment, dev, deployment, {"gpu": 2}, priority="HIGH")
    all_at_once(change, partial(stop_one, deployment, dev), change)
    assert row(deployment)["status"] == Status.STOPPED
    assert timeline(deployment).count(("STOPPED", "dev")) == 1


def test_it_takes_few_queries(api, dev, cluster, django_assert_num_queries):
    deployment = make(cluster, dev)
    # the caller, the deployment, their role, the classes, whether there are house rules; in a
    # savepoint the cluster, the row, the write, the event; the answer with what it depends on,
    # classes, reason, and whether it was looked at
    with django_assert_num_queries(16):
        api(dev).patch(path(deployment), {"priority": "HIGH"})


NEW = {"image": "train:2", "command": ["python"], "args": ["--lr", "0.1"]}


def test_the_program_while_it_is_queued_and_the_scheduler_sleeps_on(api, dev, cluster, woken):
    deployment = make(cluster, dev, env={"SEED": "1", "TOKEN": "s3cret", "OLD": "x"})
    given = {**NEW, "env": {"SEED": "2", "OLD": None, "NEW": ""}}
    answer = api(dev).patch(path(deployment), given)
    assert answer.status_code == 200, answer.content
    assert {name: answer.json()[name] for name in NEW} == NEW
    assert answer.json()["env_names"] == ["NEW", "SEED", "TOKEN"]
    deployment.refresh_from_db()
    assert unsealed(deployment.env) == {"SEED": "2", "TOKEN": "s3cret", "NEW": ""}
    assert shown(deployment)["env"] == {"changed": ["NEW", "OLD", "SEED"]}
    assert shown(deployment)["args"] == {"from": "", "to": "--lr 0.1"}
    assert "s3cret" not in str(shown(deployment))
    assert woken == []


@pytest.mark.parametrize("status", [*GOING_ON[1:], *ENDED])
@pytest.mark.parametrize("field", [*NEW, "env"])
def test_the_program_not_after(api, dev, cluster, status, field):
    deployment = make(cluster, dev, status)
    before = row(deployment)
    change = {**NEW, "env": {"A": "b"}}[field]
    answer = api(dev).patch(path(deployment), {field: change})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_queued")
    assert row(deployment) == before


@pytest.mark.parametrize("field", [*NEW, "env"])
def test_who_is_not_the_owner_gives_no_program_what_the_owner_keeps_secret(
    api, ada, dev, cluster, field
):
    change = {**NEW, "env": {"A": "b"}}[field]
    mine = [{"scope": "person", "name": "token", "env": "TOKEN"}]
    theirs = [{**mine[0], "scope": "organization"}]
    for columns, status in (
        ({"env": {"TOKEN": "s3cret"}}, 403),
        ({"secrets": mine}, 403),
        ({"secrets": theirs}, 200),
        ({}, 200),
    ):
        deployment = make(cluster, dev, **columns)
        before = row(deployment)
        answer = api(ada).patch(path(deployment), {field: change})
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "not_owner"
            assert row(deployment) == before
        assert api(dev).patch(path(deployment), {field: change}).status_code == 200


@pytest.mark.parametrize(
    ("columns", "env"),
    [
        ({"replicas": 2}, {"RANK": "1"}),
        ({"secrets": [{"scope": "person", "name": "t", "env": "TOKEN"}]}, {"TOKEN": "x"}),
        ({"env": {f"A{number}": "x" for number in range(256)}}, {"B": "x"}),
    ],
)
def test_an_environment_is_judged_as_a_whole(api, dev, cluster, columns, env):
    deployment = make(cluster, dev, **columns)
    before = row(deployment)
    answer = api(dev).patch(path(deployment), {"env": env})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["env"])
    assert row(deployment) == before


def test_command_and_args_are_measured_together_with_what_stays(api, dev, cluster):
    deployment = make(cluster, dev, command=["x" * (100 * 1024)])
    answer = api(dev).patch(path(deployment), {"args": ["x" * (100 * 1024)]})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["args"])
