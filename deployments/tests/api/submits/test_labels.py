"""`labels` of submits, bulks, changes and answers."""

import pytest

from deployments.models import Deployment, Status
from deployments.tests.workloads import body, make, timeline

PATH = "/api/deployments"
LABELS = {"team": "vision", "example.com/sweep": "lr-7", "empty": ""}


def path(deployment):
    return f"{PATH}/{deployment.pk}"


def test_a_submit_keeps_its_labels_and_every_answer_shows_them(api, dev, vera, cluster):
    answer = api(dev).post(PATH, body(cluster, labels=LABELS))
    assert answer.status_code == 201
    assert answer.json()["labels"] == LABELS
    assert api(vera).get(f"{PATH}/{answer.json()['id']}").json()["labels"] == LABELS
    assert api(vera).get(PATH).json()[0]["labels"] == LABELS


def test_each_of_a_bulk_has_its_own(api, dev, cluster):
    bodies = [body(cluster, labels={"n": str(number)}) for number in range(3)] + [body(cluster)]
    answer = api(dev).post(f"{PATH}/bulk", {"deployments": bodies})
    found = [row["labels"] for row in answer.json()]
    assert found == [{"n": "0"}, {"n": "1"}, {"n": "2"}, {}]


def test_the_scheduler_sees_no_difference_between_labels(api, dev, cluster):
    for labels in ({}, LABELS):
        api(dev).post(PATH, body(cluster, labels=labels))
    assert Deployment.objects.values("scheduling_key").distinct().count() == 1


@pytest.mark.parametrize(
    "labels",
    [
        {"-a": "b"},
        {"a": "b c"},
        {"a": "x" * 64},
        {"x" * 64: "b"},
        {"UPPER.example/a": "b"},
        {"": "b"},
        {"a": 1},
        {"a": None},
        ["a"],
        {f"label-{number}": "" for number in range(33)},
    ],
)
def test_what_kubernetes_would_refuse_is_refused(api, dev, cluster, labels):
    waiting = make(cluster, dev)
    for answer in (
        api(dev).post(PATH, body(cluster, labels=labels)),
        api(dev).patch(path(waiting), {"labels": labels}),
    ):
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == ["labels"]
    assert Deployment.objects.count() == 1


def test_thirty_two_are_taken(api, dev, cluster):
    labels = {f"label-{number}": "x" for number in range(32)}
    assert api(dev).post(PATH, body(cluster, labels=labels)).json()["labels"] == labels


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.COMPLETED])
def test_they_change_at_any_time_as_a_whole(api, ada, cluster, dev, status, stop_signals):
    deployment = make(cluster, dev, status, labels={"team": "vision", "old": "1"})
    answer = api(ada).patch(path(deployment), {"labels": {"team": "audio"}})
    assert (answer.status_code, answer.json()["labels"]) == (200, {"team": "audio"})
    assert timeline(deployment) == [("CHANGED", "ada")]
    assert stop_signals == []  # no cycle


def test_an_idempotency_key_knows_bodies_by_their_labels(api, dev, cluster):
    client = api(dev)
    answers = [
        client.post(PATH, body(cluster, labels=labels), headers={"Idempotency-Key": "k"})
        for labels in ({"a": "1"}, {"a": "1"}, {"a": "2"})
    ]
    assert [each.status_code for each in answers] == [201, 201, 409]


@pytest.mark.parametrize(("person", "status"), [("vera", 403), ("sam", 404)])
def test_viewers_and_strangers_change_none(api, dev, cluster, person, status, request):
    deployment = make(cluster, dev, labels=LABELS)
    client = api(request.getfixturevalue(person))
    assert client.patch(path(deployment), {"labels": {}}).status_code == status
    deployment.refresh_from_db()
    assert deployment.labels == LABELS
