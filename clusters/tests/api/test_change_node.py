"""PATCH /api/clusters/{id}/nodes/{node_id}"""

import pytest

from clusters.models import Node, NodeState
from clusters.services import nodes
from clusters.tests.allocation import allocate, make_cluster, make_node, row, totals


@pytest.fixture
def node(cluster, woken):
    """One of two nodes; `woken` is empty."""
    make_node(cluster, name="node-2", gpu=0)
    node = make_node(cluster, labels={"zone": "b"})
    woken.clear()
    return node


def path(node, query=""):
    return f"/api/clusters/{node.cluster_id}/nodes/{node.pk}{query}"


@pytest.mark.parametrize(
    ("change", "column", "value", "total"),
    [
        ({"cpu": 0.5}, "cpu_milli", 500, (4500, 16384, 2)),
        ({"ram": 100}, "ram_mib", 100, (8000, 8292, 2)),
        ({"gpu": 8}, "gpu", 8, (8000, 16384, 8)),
        ({"labels": {"zone": "c", "x": ""}}, "labels", {"zone": "c", "x": ""}, (8000, 16384, 2)),
        ({"labels": {}}, "labels", {}, (8000, 16384, 2)),
    ],
)
@pytest.mark.parametrize("query", ["", "?drain=true"])
def test_a_change_wakes_the_scheduler(
    api, ada, cluster, node, woken, change, column, value, total, query
):
    before, changed_at = row(node), row(cluster)["changed_at"]
    response = api(ada).patch(path(node, query), change)
    assert response.status_code == 200
    assert row(node) == {**before, column: value}
    assert totals(cluster) == total
    assert cluster.changed_at > changed_at
    assert woken == [cluster.pk]


@pytest.mark.parametrize(
    "change", [{}, {"name": "east"}, {"gpu": 2, "cpu": 4}, {"labels": {"zone": "b"}}]
)
def test_a_change_that_the_scheduler_ignores_does_not_wake_it(
    api, ada, cluster, node, woken, change
):
    before, cluster_before = row(node), row(cluster)
    assert api(ada).patch(path(node), change).json()["name"] == change.get("name", "node-1")
    assert row(node) == {**before, "name": change.get("name", "node-1")}
    assert row(cluster) == cluster_before
    assert woken == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gpu": 1}, "GPUs: 2 allocated on node-1, so it cannot have 1"),
        ({"cpu": 1}, "CPU cores: 1.5 allocated on node-1, so it cannot have 1"),
        ({"ram": 99}, "MiB of RAM: 100 allocated on node-1, so it cannot have 99"),
    ],
)
def test_a_size_cannot_fall_below_what_is_allocated(
    api, ada, cluster, node, woken, change, sentence
):
    allocate(node, cpu_milli=1500, ram_mib=100, gpu=2)
    before, cluster_before = row(node), row(cluster)
    response = api(ada).patch(path(node), {**change, "name": "other", "labels": {"a": "b"}})
    assert response.status_code == 409
    assert response.json() == {
        "detail": f"{sentence}; with ?drain=true it is drained first.",
        "code": "below_allocated",
    }
    assert (row(node), row(cluster)) == (before, cluster_before)
    assert woken == []
    assert api(ada).patch(path(node), {"cpu": 1.5, "ram": 100, "gpu": 2}).status_code == 200


@pytest.mark.parametrize("state", NodeState.values)
def test_with_drain_the_node_gets_its_new_sizes_and_its_old_state_once_it_is_empty(
    api, ada, cluster, node, woken, state
):
    Node.objects.filter(pk=node.pk).update(state=state)
    allocate(node, gpu=2)
    response = api(ada).patch(path(node, "?drain=true"), {"gpu": 1, "ram": 9000, "name": "small"})
    assert response.status_code == 200
    answer = response.json()
    assert (answer["state"], answer["name"], answer["gpu"]) == ("DRAINING", "small", 2)
    assert answer["pending"] == {"cpu": 4, "ram": 9000, "gpu": 1}
    assert totals(cluster) == (8000, 16384, 2)
    assert woken == [cluster.pk]

    allocate(node, -500, -256, -1)
    assert row(node)["pending"] is not None  # not empty yet
    allocate(node, -500, -256, -1)
    after = row(node)
    left_as = "DRAINED" if state == "DRAINING" else state
    assert (after["state"], after["gpu"], after["ram_mib"]) == (left_as, 1, 9000)
    assert after["pending"] is None
    assert totals(cluster) == (8000, 17192, 1)
    assert woken == [cluster.pk] * 2


def test_a_second_change_of_a_draining_node_is_added_to_the_first(api, ada, cluster, node, woken):
    allocate(node, gpu=2)
    api(ada).patch(path(node, "?drain=true"), {"gpu": 1})
    assert woken == [cluster.pk]
    api(ada).patch(path(node, "?drain=true"), {"gpu": 1})  # nothing new
    assert woken == [cluster.pk]
    assert api(ada).patch(path(node), {"cpu": 2}).status_code == 409
    api(ada).patch(path(node, "?drain=true"), {"cpu": 2})
    assert row(node)["pending"] == {
        "cpu_milli": 2000,
        "ram_mib": 8192,
        "gpu": 1,
        "state": "READY",
    }
    # what fits again is done at once
    answer = api(ada).patch(path(node), {"gpu": 2}).json()
    assert (answer["state"], answer["cpu"], answer["gpu"]) == ("READY", 2, 2)
    assert answer["pending"] is None


def test_uncordoning_cancels_the_change(api, ada, node):
    allocate(node, gpu=2)
    api(ada).patch(path(node, "?drain=true"), {"gpu": 1})
    nodes.uncordon(node)
    allocate(node, -1000, -512, -2)
    after = row(node)
    assert (after["state"], after["gpu"], after["pending"]) == ("READY", 2, None)


def test_a_node_drained_by_a_user_stays_closed(api, ada, node):
    allocate(node, gpu=2)
    api(ada).patch(path(node, "?drain=true"), {"gpu": 1})
    nodes.drain(node)
    allocate(node, -1000, -512, -2)
    after = row(node)
    assert (after["state"], after["gpu"], after["pending"]) == ("DRAINED", 1, None)


def test_a_node_being_deleted_cannot_be_resized(api, ada, node):
    allocate(node)
    nodes.delete_node(node, drain=True)
    before = row(node)
    response = api(ada).patch(path(node, "?drain=true"), {"gpu": 1})
    assert response.status_code == 409
    assert response.json()["code"] == "node_leaving"
    assert row(node) == before
    assert api(ada).patch(path(node), {"name": "old"}).status_code == 200


def test_a_taken_name_is_refused(api, ada, node):
    before = row(node)
    response = api(ada).patch(path(node), {"name": "node-2", "gpu": 1})
    assert response.status_code == 409
    assert response.json()["code"] == "name_taken"
    assert row(node) == before


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("change", [{"gpu": 8}, {"nonsense": 1}])
def test_others_may_not(api, node, woken, person, status, change, request):
    before = row(node)
    assert api(request.getfixturevalue(person)).patch(path(node), change).status_code == status
    assert row(node) == before
    assert woken == []


def test_it_is_found_in_its_own_cluster_only(api, ada, org, node, anyone):
    other = make_cluster(org, name="east")
    before = row(node)
    address = f"/api/clusters/{other.pk}/nodes/{node.pk}"
    assert api(ada).patch(address, {"gpu": 8}).status_code == 404
    assert anyone.patch(path(node), {"gpu": 8}).status_code == 401
    assert row(node) == before


@pytest.mark.parametrize(
    ("query", "sent", "field"),
    [
        ("", {"gpu": -1}, "gpu"),
        ("", {"state": "READY"}, "state"),
        ("", {"name": None}, "name"),
        ("", {"labels": {"a": "-"}}, "labels"),
        ("?drain=yes", {"gpu": 1}, "drain"),
        ("?force=true", {"gpu": 1}, "force"),
    ],
)
def test_bad_values_are_named(api, ada, node, query, sent, field):
    before = row(node)
    response = api(ada).patch(path(node, query), sent)
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert row(node) == before


def test_it_takes_few_queries(api, ada, node, django_assert_num_queries):
    # the caller, the cluster, the role, the node; a savepoint, the lock, the node again, the write,
    # the nodes' sum, the totals, the release
    with django_assert_num_queries(12):  # one writes the event
        api(ada).patch(path(node), {"gpu": 8})
