"""The header Idempotency-Key of POST /api/deployments/bulk"""

from functools import partial

import pytest

from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, DeploymentEvent
from deployments.tests.api.submits.test_bulk import SINGLE, submit
from deployments.tests.workloads import body, make
from mlops_platform.tests.equipment.world import fingerprint
from organizations.tests.people import all_at_once


def test_the_same_again_answers_the_first(api, dev, org, cluster):
    other, needed = make_cluster(org, name="other"), make(cluster, dev)
    given = [body(cluster, depends_on=[str(needed.pk)]), body(other), body(cluster)]
    first, again = (submit(api(dev), *given, key="run-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Deployment.objects.count() == 4
    assert DeploymentEvent.objects.count() == 3


def test_a_key_of_the_greatest_length_and_a_bulk_of_the_greatest_size(api, dev, cluster):
    first, again = (submit(api(dev), *[body(cluster)] * 1000, key="~" * 255) for _ in range(2))
    assert again.json() == first.json()
    assert Deployment.objects.count() == 1000


def others(given):
    changed = {**given[1], "required_gpu": 2}
    return [given[:1], [*given, given[0]], [given[0], changed], [changed, given[0]]]


@pytest.mark.parametrize("number", range(4))
def test_another_body_is_refused(api, dev, cluster, number):
    given = [body(cluster), body(cluster, name="b")]
    submit(api(dev), *given, key="run-1")
    before = fingerprint()
    response = submit(api(dev), *others(given)[number], key="run-1")
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    assert fingerprint() == before


def test_a_submit_by_itself_is_another_body(api, dev, cluster):
    keys = {"Idempotency-Key": "run-1"}
    submit(api(dev), body(cluster), key="run-1")
    assert api(dev).post(SINGLE, body(cluster), headers=keys).status_code == 409
    keys = {"Idempotency-Key": "run-2"}
    assert api(dev).post(SINGLE, body(cluster), headers=keys).status_code == 201
    assert submit(api(dev), body(cluster), key="run-2").status_code == 409
    assert submit(api(dev), body(cluster), body(cluster), key="run-2").status_code == 409
    assert Deployment.objects.count() == 2


def test_a_key_is_its_owners_alone(api, ada, dev, cluster):
    for person in (ada, dev):
        assert "Idempotency-Replayed" not in submit(api(person), body(cluster), key="x").headers
    assert Deployment.objects.count() == 2


def test_what_is_no_key_is_refused(api, dev, cluster):
    response = submit(api(dev), body(cluster), key="two words")
    assert (response.status_code, list(response.json()["fields"])) == (400, ["Idempotency-Key"])
    assert not Deployment.objects.exists()


def test_a_race_makes_one(transactional_db, api, dev, cluster):
    given = [body(cluster, name=f"n{number}") for number in range(20)]
    answers = all_at_once(*[partial(submit, api(dev), *given, key="run-1") for _ in range(5)])
    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({tuple(row["id"] for row in answer.json()) for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 4
    assert Deployment.objects.count() == DeploymentEvent.objects.count() == 20


def test_a_race_of_two_bodies_has_one_winner(transactional_db, api, dev, cluster):
    bulks = [[body(cluster, required_gpu=gpu)] * 5 for gpu in (1, 2)]
    answers = all_at_once(*[partial(submit, api(dev), *bulk, key="run-1") for bulk in bulks])
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Deployment.objects.count() == 5
