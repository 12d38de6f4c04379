"""PATCH /api/sweeps/{id}"""

import pytest

from deployments.tests.api.sweeps.sweeping import PATH, swept


def test_its_limit_and_name_change_and_the_scheduler_looks_again(api, dev, cluster, stop_signals):
    sweep = swept(dev, cluster, max_parallel=1)
    client, path = api(dev), f"{PATH}/{sweep.pk}"
    answer = client.patch(path, {"max_parallel": 2, "name": "other"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["max_parallel"], answer.json()["name"]) == (2, "other")
    assert stop_signals == [(cluster.pk, set(), "CHANGED")]
    assert client.patch(path, {"max_parallel": None}).json()["max_parallel"] is None
    assert client.patch(path, {}).json()["name"] == "other"


def test_a_sweep_without_a_limit_may_get_one(api, dev, cluster):
    sweep = swept(dev, cluster)
    cluster.refresh_from_db()
    assert not cluster.has_sweeps
    assert api(dev).patch(f"{PATH}/{sweep.pk}", {"max_parallel": 1}).status_code == 200
    cluster.refresh_from_db()
    assert cluster.has_sweeps


@pytest.mark.parametrize(
    "fields", [{"max_parallel": 0}, {"max_parallel": 1001}, {"name": ""}, {"size": 3}]
)
def test_a_faulty_change_changes_nothing(api, dev, cluster, fields):
    sweep = swept(dev, cluster, max_parallel=2)
    answer = api(dev).patch(f"{PATH}/{sweep.pk}", fields)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == list(fields)
    sweep.refresh_from_db()
    assert (sweep.name, sweep.max_parallel) == ("lr", 2)


def test_who_may_change_it(api, dev, ada, vera, sam, anyone, cluster):
    path = f"{PATH}/{swept(dev, cluster).pk}"
    clients = [*map(api, (dev, ada, vera, sam)), anyone]
    answers = [client.patch(path, {"name": "x"}).status_code for client in clients]
    assert answers == [200, 200, 403, 404, 401]
