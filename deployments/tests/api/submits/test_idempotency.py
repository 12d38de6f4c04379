"""The header Idempotency-Key of POST /api/deployments"""

from functools import partial

import pytest

from deployments.models import Deployment, DeploymentEvent
from deployments.tests.workloads import body
from organizations.tests.people import all_at_once

PATH = "/api/deployments"


def submit(client, given, key="run-1"):
    return client.post(PATH, given, headers={"Idempotency-Key": key})


def test_the_same_again_answers_the_first(api, dev, cluster):
    first = submit(api(dev), body(cluster, env={"A": "1"}))
    again = submit(api(dev), body(cluster, env={"A": "1"}))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Deployment.objects.count() == DeploymentEvent.objects.count() == 1


def test_it_is_answered_as_it_stands_now(api, dev, cluster):
    first = submit(api(dev), body(cluster)).json()
    api(dev).post(f"{PATH}/{first['id']}/stop")
    assert submit(api(dev), body(cluster)).json()["status"] == "STOPPED"


@pytest.mark.parametrize(
    "same",
    [{"priority": "low"}, {"required_cpu": 1.0}, {"replicas": 1}, {"grace_s": 30, "env": {}}],
)
def test_the_same_in_other_words(api, dev, cluster, same):
    submit(api(dev), body(cluster))
    assert submit(api(dev), body(cluster, **same)).headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    "other", [{"priority": "HIGH"}, {"required_gpu": 2}, {"env": {"A": "1"}}, {"args": ["x"]}]
)
def test_another_body_is_refused(api, dev, cluster, other):
    submit(api(dev), body(cluster))
    response = submit(api(dev), body(cluster, **other))
    assert response.status_code == 409
    assert response.json()["code"] == "idempotency_key_reused"
    assert Deployment.objects.count() == 1


def test_another_key_is_another_deployment(api, dev, cluster):
    for key in ("run-1", "run-2", "RUN-1"):
        assert submit(api(dev), body(cluster), key).status_code == 201
    assert Deployment.objects.count() == 3


def test_a_key_is_its_owners_alone(api, ada, dev, cluster):
    first = submit(api(dev), body(cluster)).json()
    response = submit(api(ada), body(cluster))
    assert response.status_code == 201
    assert response.json()["id"] != first["id"]


def test_without_a_key_each_is_its_own(api, dev, cluster):
    for _ in range(2):
        assert api(dev).post(PATH, body(cluster)).status_code == 201
    assert Deployment.objects.count() == 2


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "käse", "tab\t"])
def test_what_is_no_key_is_refused(api, dev, cluster, key):
    response = submit(api(dev), body(cluster), key)
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["Idempotency-Key"]
    assert not Deployment.objects.exists()


def test_the_longest_key(api, dev, cluster):
    assert submit(api(dev), body(cluster), "~" * 255).status_code == 201


def test_a_race_makes_one(transactional_db, api, dev, cluster):
    answers = all_at_once(*[partial(submit, api(dev), body(cluster)) for _ in range(6)])
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 5
    assert Deployment.objects.count() == DeploymentEvent.objects.count() == 1


def test_a_race_of_two_bodies_has_one_winner(transactional_db, api, dev, cluster):
    bodies = [body(cluster, required_gpu=number) for number in (1, 2)]
    answers = all_at_once(*[partial(submit, api(dev), given) for given in bodies])
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Deployment.objects.count() == 1
