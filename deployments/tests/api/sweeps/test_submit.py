"""POST /api/sweeps"""

import pytest

from accounts.keys.services import create_key
from deployments.env import unsealed
from deployments.models import Deployment, Sweep
from deployments.tests.api.sweeps.sweeping import PATH, sweep_body
from mlops_platform.api.scopes import KeyScope
from organizations.tests.people import JsonClient, all_at_once

PLACES = [
    ({"args": ["a", "{lrr}"]}, "template.args", "element 1: {lrr} at letter 1"),
    ({"command": ["{x}"]}, "template.command", "element 0: {x} at letter 1"),
    ({"env": {"A": "1{y}"}}, "template.env", "A: {y} at letter 2"),
    ({"name": "run-{z}"}, "template.name", "{z} at letter 5"),
    ({"args": ["{"]}, "template.args", "element 0: A single { at letter 1"),
    ({"args": ['{"a": 1}']}, "template.args", 'element 0: {"a": 1} at letter 1'),
    ({"env": {"lr": "5"}}, "template.env", "lr is a parameter"),
]
FAULTY = [
    ({"matrix": None}, "matrix", "either"),
    ({"parameters": [{"a": 1}]}, "matrix", "either"),
    ({"matrix": {}}, "matrix", "1 to 20"),
    ({"matrix": {"a": []}}, "matrix", "a list"),
    ({"matrix": {"a": [{}]}}, "matrix", "a text of at most"),
    ({"matrix": {"a": [None]}}, "matrix", "a text of at most"),
    ({"matrix": {"a": [10**100]}}, "matrix", "a text of at most"),
    ({"matrix": {"a-b": [1]}}, "matrix", "letters, digits"),
    ({"matrix": {"index": [1]}}, "matrix", "The platform sets"),
    ({"matrix": {"MLOPS_X": [1]}}, "matrix", "The platform sets"),
    ({"matrix": {"a": list(range(101)), "b": list(range(10))}}, "matrix", "1,000"),
    ({"matrix": None, "parameters": []}, "parameters", "A list"),
    ({"matrix": None, "parameters": [{"a": 1}, {"b": 1}]}, "parameters", "Number 1"),
    ({"matrix": None, "parameters": [{"a": 1}] * 1001}, "parameters", "1,000"),
    ({"max_parallel": 0}, "max_parallel", "or equal"),
    ({"extra": 1}, "extra", "Unknown"),
]


def values(row):
    return unsealed(row.env)


def test_each_combination_is_a_member_with_its_parameters_in_texts_and_variables(api, dev, cluster):
    template = {
        "name": "lr-{lr}-{seed}",
        "command": ["train", "{{{lr}}}"],
        "env": {"SEED": "{seed}", "N": "{index}"},
    }
    answer = api(dev).post(PATH, sweep_body(cluster, template=template, max_parallel=2))
    assert answer.status_code == 201, answer.content
    sweep = answer.json()
    shown = {"status": "QUEUED", "total": 6, "ended": 0, "counts": {"QUEUED": 6}}
    assert {name: sweep[name] for name in shown} == shown
    assert (sweep["owner"], sweep["cluster"], sweep["max_parallel"]) == ("dev", cluster.name, 2)
    assert sweep["name"] == "lr-{lr}-{seed}"
    assert sweep["parameters"][3] == {"lr": 0.01, "seed": 1}
    rows = list(Deployment.objects.order_by("id"))
    assert [row.name for row in rows] == [
        f"lr-{lr}-{seed}" for lr in ("0.1", "0.01") for seed in (1, 2, 3)
    ]
    assert [row.sweep_index for row in rows] == list(range(6))
    assert rows[3].args == ["--lr", "0.01"]
    assert rows[3].command == ["train", "{0.01}"]
    assert values(rows[3]) == {"SEED": "1", "N": "3", "lr": "0.01", "seed": "1"}
    assert len({row.scheduling_key for row in rows}) == 1
    assert not Deployment.objects.exclude(sweep=sweep["id"]).exists()


def test_a_list_of_sets_makes_a_member_for_each_and_a_plain_name_gets_the_index(api, dev, cluster):
    sets = [{"a": "x y", "b": True}, {"a": 1e-05, "b": False}]
    given = sweep_body(cluster, matrix=None, parameters=sets, template={"name": "run", "args": []})
    assert api(dev).post(PATH, given).status_code == 201
    rows = list(Deployment.objects.order_by("id"))
    assert [row.name for row in rows] == ["run-0", "run-1"]
    assert [values(row) for row in rows] == [
        {"a": "x y", "b": "true"},
        {"a": "0.00001", "b": "false"},
    ]


@pytest.mark.parametrize(("template", "field", "why"), PLACES)
def test_a_placeholder_that_is_no_parameter_is_refused_with_its_place(
    api, dev, cluster, template, field, why
):
    answer = api(dev).post(PATH, sweep_body(cluster, template=template))
    assert answer.status_code == 400
    assert why in answer.json()["fields"][field][0]
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(("fields", "field", "why"), FAULTY)
def test_a_faulty_body_is_refused_and_nothing_is_queued(api, dev, cluster, fields, field, why):
    answer = api(dev).post(PATH, sweep_body(cluster, **fields))
    assert answer.status_code == 400
    assert why in answer.json()["fields"][field][0]
    assert not Sweep.objects.exists()


def test_a_template_is_an_object(api, dev, cluster):
    answer = api(dev).post(PATH, {**sweep_body(cluster), "template": []})
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"template": ["The body of a submit."]}


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"required_gpu": "x"}, "template.required_gpu"),
        ({"quote": "x"}, "template.quote"),
        ({"image": "a b"}, "template.image"),
        ({"stop_signal": "SIGTERM", "grace_s": 0}, "template.stop_signal"),
        ({"args": [1]}, "template.args"),
        ({"name": "x" * 99 + "{seed}"}, "template (member 1).name"),
    ],
)
def test_what_a_submit_refuses_is_refused_with_the_templates_field(
    api, dev, cluster, template, field
):
    given = sweep_body(
        cluster, template={"args": [], **template}, matrix={"seed": ["1", "22", "333"]}
    )
    answer = api(dev).post(PATH, given)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert not Deployment.objects.exists()


def test_texts_that_grow_very_large_are_refused(api, dev, cluster):
    given = sweep_body(
        cluster,
        matrix={"a": ["x" * 1000], "n": list(range(1000))},
        template={"args": ["{a}" * 100]},
    )
    answer = api(dev).post(PATH, given)
    assert answer.status_code == 400
    assert "16 MiB" in answer.json()["fields"]["template"][0]


def test_a_dry_run_checks_all_and_submits_nothing(api, dev, cluster):
    answer = api(dev).post(PATH, sweep_body(cluster, dry_run=True))
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["dry_run"], seen["total"], len(seen["first"])) == (True, 6, 6)
    assert seen["first"][5]["args"] == ["--lr", "0.01"]
    assert seen["first"][5]["parameters"] == {"lr": 0.01, "seed": 3}
    assert seen["first"][5]["env_names"] == ["lr", "seed"]
    assert not Sweep.objects.exists()


def test_a_repetition_with_its_key_answers_the_same_sweep(api, dev, cluster):
    given, headers = sweep_body(cluster), {"Idempotency-Key": "k"}
    first, again = (api(dev).post(PATH, given, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert again["Idempotency-Replayed"] == "true"
    other = api(dev).post(PATH, {**given, "max_parallel": 3}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert (Sweep.objects.count(), Deployment.objects.count()) == (1, 6)


@pytest.mark.django_db(transaction=True)
def test_repetitions_at_the_same_time_make_one_sweep(api, dev, cluster):
    given = sweep_body(cluster)
    clients = [api(dev) for _ in range(3)]
    answers = all_at_once(
        *(
            lambda client=client: client.post(PATH, given, headers={"Idempotency-Key": "k"})
            for client in clients
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (Sweep.objects.count(), Deployment.objects.count()) == (1, 6)


def test_a_queue_without_room_for_all_takes_none(api, dev, cluster):
    type(cluster).objects.filter(pk=cluster.pk).update(max_queued_per_user=5)
    answer = api(dev).post(PATH, sweep_body(cluster))
    assert (answer.status_code, answer.json()["code"]) == (409, "queue_full")
    assert not Sweep.objects.exists()
    assert not Deployment.objects.exists()


def test_who_may_submit_one(api, ada, vera, sam, anyone, cluster):
    given = sweep_body(cluster)
    answers = [client.post(PATH, given) for client in (api(ada), api(vera), api(sam), anyone)]
    assert [answer.status_code for answer in answers] == [201, 403, 404, 401]


@pytest.mark.parametrize("count", [2, 40])
def test_its_queries_do_not_grow_with_its_members(
    api, dev, cluster, count, django_assert_num_queries
):
    given = sweep_body(cluster, matrix={"lr": list(range(count))}, max_parallel=2)
    client = api(dev)
    with django_assert_num_queries(18):  # one writes the event of the sweep
        assert client.post(PATH, given).status_code == 201


def test_a_key_of_the_scope_submit_is_enough(dev, cluster):
    client = JsonClient()
    token = create_key(dev, "robot", KeyScope.SUBMIT).token
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    made = client.post(PATH, sweep_body(cluster))
    assert made.status_code == 201, made.content
    path = f"{PATH}/{made.json()['id']}"
    assert client.patch(path, {"max_parallel": 1}).status_code == 200
    assert client.post(f"{path}/retry-failed", {}).status_code == 200
    assert client.post(f"{path}/stop", {}).status_code == 200
    assert client.delete(path).status_code == 204
