"""`exclusive` and a `required_gpu` of "all": on submit, in bulk, shown, changed and refused."""

from typing import Any

import pytest

from clusters.tests.allocation import make_node
from deployments.models import Deployment, Status
from deployments.tests.workloads import body, make
from deployments.whole_nodes import ALL_GPUS, ASKED, EXCLUSIVE, GIVEN

PATH = "/api/deployments"
NO_NODES = ["The cluster has no nodes: it is one pool."]


@pytest.fixture
def node(cluster):
    return make_node(cluster)


def change(client, deployment, **fields):
    return client.patch(f"{PATH}/{deployment.pk}", fields)


@pytest.mark.parametrize(
    ("fields", "key", "gpu"),
    [
        ({"exclusive": True, "required_gpu": 2}, "LOW/1000/512/2x1/wn", 2),
        ({"required_gpu": "all"}, "LOW/1000/512/1x1/wg", "all"),
        (
            {"exclusive": True, "required_gpu": "all", "replicas": 3},
            "LOW/1000/512/1x3/wng",
            "all",
        ),
        ({"exclusive": False}, "LOW/1000/512/1x1", 1),
    ],
)
def test_it_is_kept_and_shown(api, dev, cluster, node, fields, key, gpu):
    answer = api(dev).post(PATH, body(cluster, **fields))
    assert answer.status_code == 201, answer.json()
    shown = api(dev).get(f"{PATH}/{answer.json()['id']}").json()
    assert shown["required_gpu"] == answer.json()["required_gpu"] == gpu
    assert shown["exclusive"] is fields.get("exclusive", False)
    assert shown["given"] is None
    assert Deployment.objects.get().scheduling_key == key
    [listed] = api(dev).get(PATH).json()
    assert (listed["required_gpu"], listed["given"]) == (gpu, None)


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"required_gpu": "some"}, {"required_gpu": ['A whole number, or "all".']}),
        ({"required_gpu": -1}, {"required_gpu": None}),
        ({"required_gpu": True}, {"required_gpu": None}),
        ({"required_gpu": ["all"]}, {"required_gpu": None}),
        ({"exclusive": "yes"}, {"exclusive": None}),
    ],
)
def test_other_values_are_refused(api, dev, cluster, node, fields, refused):
    answer = api(dev).post(PATH, body(cluster, **fields))
    assert answer.status_code == 400
    found: dict[str, Any] = answer.json()["fields"]
    assert found.keys() == refused.keys()
    assert all(words is None or found[name] == words for name, words in refused.items())
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("field", ["exclusive", "required_gpu"])
def test_in_a_pool_it_is_refused(api, dev, cluster, field):
    asked: dict[str, Any] = {"exclusive": True} if field == "exclusive" else {"required_gpu": "all"}
    answer = api(dev).post(PATH, body(cluster, **asked))
    assert (answer.status_code, answer.json()["fields"]) == (400, {field: NO_NODES})
    many = api(dev).post(f"{PATH}/bulk", {"deployments": [body(cluster), body(cluster, **asked)]})
    assert many.status_code == 400
    assert field in str(many.json())
    waiting = make(cluster, dev)
    refused = change(api(dev), waiting, **asked)
    assert (refused.status_code, refused.json()["fields"]) == (400, {field: NO_NODES})


def test_a_bulk_takes_it(api, dev, cluster, node):
    asked = [body(cluster, exclusive=True), body(cluster, required_gpu="all"), body(cluster)]
    answer = api(dev).post(f"{PATH}/bulk", {"deployments": asked})
    assert answer.status_code == 201, answer.json()
    assert sorted(str(each.whole) for each in Deployment.objects.all()) == [
        "{'all_gpus': True}",
        "{'exclusive': True}",
        "{}",
    ]


def test_a_change_while_it_waits(api, dev, cluster, node):
    row = make(cluster, dev, gpu=4)
    steps: list[tuple[dict[str, Any], tuple[Any, bool, str]]] = [
        ({"required_gpu": "all"}, ("all", False, "LOW/1000/512/1x1/wg")),
        ({"exclusive": True}, ("all", True, "LOW/1000/512/1x1/wng")),
        ({"required_gpu": 2}, (2, True, "LOW/1000/512/2x1/wn")),
        ({"exclusive": False, "required_cpu": 3}, (2, False, "LOW/3000/512/2x1")),
    ]
    for fields, (gpu, exclusive, key) in steps:
        answer = change(api(dev), row, **fields)
        assert answer.status_code == 200, answer.json()
        assert (answer.json()["required_gpu"], answer.json()["exclusive"]) == (gpu, exclusive)
        assert Deployment.objects.get().scheduling_key == key
    events = api(dev).get(f"{PATH}/{row.pk}/events").json()
    found = {name: of for each in events for name, of in each["details"].items()}
    assert found["exclusive"] in ({"from": False, "to": True}, {"from": True, "to": False})
    assert {"from": 4, "to": "all"} in [each["details"].get("required_gpu") for each in events]


def test_no_change_once_it_has_started(api, dev, cluster, node):
    row = make(cluster, dev, Status.RUNNING)
    several: list[dict[str, Any]] = [{"exclusive": True}, {"required_gpu": "all"}]
    for fields in several:
        assert change(api(dev), row, **fields).status_code == 409
    assert Deployment.objects.get().whole == {}


def test_what_it_asked_for_and_what_it_was_given_are_both_shown(api, dev, cluster, node):
    asked: dict[str, Any] = {"cpu_milli": 500, "ram_mib": 100, "gpu": 1}
    given: dict[str, Any] = {"cpu_milli": 3500, "ram_mib": 8000, "gpu": 2}
    whole = {EXCLUSIVE: True, ALL_GPUS: True, ASKED: asked, GIVEN: given}
    row = make(cluster, dev, Status.RUNNING, **given, whole=whole)
    shown = api(dev).get(f"{PATH}/{row.pk}").json()
    required = (shown["required_cpu"], shown["required_ram"], shown["required_gpu"])
    assert required == (0.5, 100, "all")
    assert shown["given"] == {"cpu": 3.5, "ram": 8000, "gpu": 2}
    assert row.scheduling_key == "LOW/500/100/1x1/wng"
    assert change(api(dev), row, priority="HIGH").status_code == 200
    assert Deployment.objects.get().scheduling_key == "HIGH/500/100/1x1/wng"
