"""GET /api/sweeps, and the members in GET /api/deployments?sweep="""

import pytest

from deployments.models import Status
from deployments.tests.api.sweeps.sweeping import PATH, give, swept


def names(answer):
    assert answer.status_code == 200, answer.content
    return [each["name"] for each in answer.json()]


@pytest.fixture
def two(dev, ada, cluster):
    return [swept(dev, cluster, name="first"), swept(ada, cluster, name="second")]


def test_the_newest_comes_first_and_each_has_its_counts(api, dev, cluster, two):
    give(two[0], Status.COMPLETED, Status.RUNNING, Status.QUEUED)
    second, first = api(dev).get(PATH).json()
    assert (first["name"], second["name"]) == ("first", "second")
    assert first["counts"] == {"COMPLETED": 1, "RUNNING": 1, "QUEUED": 1}
    assert (first["status"], first["ended"], first["total"]) == ("RUNNING", 1, 3)
    assert "parameters" not in first


def test_filters_narrow_it(api, dev, cluster, two):
    client = api(dev)
    assert names(client.get(PATH, {"owner": "me"})) == ["first"]
    assert names(client.get(PATH, {"owner": "ada"})) == ["second"]
    assert names(client.get(PATH, {"cluster": cluster.name})) == ["second", "first"]
    assert names(client.get(PATH, {"cluster_id": str(two[0].pk)})) == []
    assert names(client.get(PATH, {"limit": 1})) == ["second"]
    assert client.get(PATH, {"status": "RUNNING"}).status_code == 400


def test_the_members_are_deployments_of_the_list(api, dev, vera, sam, cluster, two):
    asked = {"sweep": str(two[0].pk), "ordering": "created_at"}
    rows = api(vera).get("/api/deployments", asked).json()
    assert [(row["sweep_id"], row["sweep"], row["sweep_index"]) for row in rows] == [
        (str(two[0].pk), "first", number) for number in range(3)
    ]
    counts = api(dev).get("/api/deployments/counts", {"sweep": str(two[0].pk)}).json()
    assert counts["counts"]["QUEUED"] == 3
    assert api(sam).get("/api/deployments", asked).json() == []
    assert api(dev).get("/api/deployments", {"sweep": "x"}).status_code == 400


def test_who_sees_them(api, ada, vera, sam, anyone, two):
    assert [len(api(each).get(PATH).json()) for each in (ada, vera, sam)] == [2, 2, 0]
    assert anyone.get(PATH).status_code == 401


@pytest.mark.parametrize("count", [1, 5])
def test_its_queries_do_not_grow_with_sweeps(api, dev, cluster, count, django_assert_num_queries):
    for _ in range(count):
        swept(dev, cluster, 2)
    client = api(dev)
    with django_assert_num_queries(3):
        assert len(client.get(PATH).json()) == count
