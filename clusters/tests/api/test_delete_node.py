"""DELETE /api/clusters/{id}/nodes/{node_id}"""

import pytest

from clusters.models import Node
from clusters.services import nodes
from clusters.tests.allocation import allocate, make_cluster, make_node, row, totals


@pytest.fixture
def node(cluster, woken):
    """One of two nodes; `woken` is empty."""
    make_node(cluster, name="node-2", gpu=0)
    node = make_node(cluster)
    woken.clear()
    return node


def path(node, query=""):
    return f"/api/clusters/{node.cluster_id}/nodes/{node.pk}{query}"


@pytest.mark.parametrize("query", ["", "?drain=false", "?drain=true"])
def test_an_empty_node_goes_at_once_and_the_totals_shrink(api, ada, cluster, node, woken, query):
    response = api(ada).delete(path(node, query))
    assert (response.status_code, response.content) == (204, b"")
    assert Node.objects.get().name == "node-2"
    assert totals(cluster) == (4000, 8192, 0)
    assert woken == [cluster.pk]
    assert api(ada).delete(path(node)).status_code == 404


def test_without_its_last_node_a_cluster_is_a_pool_of_the_same_totals(api, ada, cluster):
    node = make_node(cluster)
    assert api(ada).delete(path(node)).status_code == 204
    assert totals(cluster) == (4000, 8192, 2)
    assert api(ada).patch(f"/api/clusters/{cluster.pk}", {"total_gpu": 1}).status_code == 200


def test_a_node_in_use_stays(api, ada, cluster, node, woken):
    allocate(node, cpu_milli=1000, ram_mib=512, gpu=0)
    before, cluster_before = row(node), row(cluster)
    response = api(ada).delete(path(node))
    assert response.status_code == 409
    assert response.json() == {
        "detail": (
            "1 CPU core, 512 MiB of RAM are allocated on node-1: drain it first, or delete it with "
            "?drain=true."
        ),
        "code": "node_in_use",
    }
    assert (row(node), row(cluster)) == (before, cluster_before)
    assert woken == []


def test_with_drain_the_node_is_drained_and_goes_once_it_is_empty(api, ada, cluster, node, woken):
    allocate(node)
    for _ in range(2):  # asking again is fine
        response = api(ada).delete(path(node, "?drain=true"))
        assert response.status_code == 202
        answer = response.json()
        assert (answer["state"], answer["pending"]) == ("DRAINING", {"delete": True})
    assert totals(cluster) == (8000, 16384, 2)
    assert woken == [cluster.pk]
    allocate(node, -1000, -512, -1)
    assert Node.objects.get().name == "node-2"
    assert totals(cluster) == (4000, 8192, 0)
    assert woken == [cluster.pk] * 2


def test_it_wins_over_a_new_size(api, ada, node):
    allocate(node)
    nodes.change_node(node, {"gpu": 0}, drain=True)
    assert api(ada).delete(path(node)).status_code == 409
    assert api(ada).delete(path(node, "?drain=true")).json()["pending"] == {"delete": True}


@pytest.mark.parametrize("change", [nodes.cordon, nodes.uncordon])
def test_uncordoning_or_cordoning_the_node_cancels_its_deletion(node, change):
    allocate(node)
    nodes.delete_node(node, drain=True)
    change(node)
    allocate(node, -1000, -512, -1)
    assert row(node)["pending"] is None


def test_draining_the_node_does_not_cancel_its_change(node):
    allocate(node)
    nodes.delete_node(node, drain=True)
    nodes.drain(node)
    allocate(node, -1000, -512, -1)
    assert not Node.objects.filter(pk=node.pk).exists()


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("query", ["", "?drain=true"])
def test_others_may_not(api, node, woken, person, status, query, request):
    allocate(node)
    before = row(node)
    assert api(request.getfixturevalue(person)).delete(path(node, query)).status_code == status
    assert row(node) == before
    assert woken == []


def test_it_is_found_in_its_own_cluster_only(api, ada, org, node, anyone):
    other = make_cluster(org, name="east")
    assert api(ada).delete(f"/api/clusters/{other.pk}/nodes/{node.pk}").status_code == 404
    assert anyone.delete(path(node)).status_code == 401
    assert Node.objects.count() == 2


def test_a_faulty_parameter_is_named(api, ada, node):
    for query, name in (("?drain=1", "drain"), ("?force=true", "force")):
        response = api(ada).delete(path(node, query))
        assert response.status_code == 400
        assert list(response.json()["fields"]) == [name]
    assert Node.objects.count() == 2


def test_it_takes_few_queries(api, ada, node, django_assert_num_queries):
    # the caller, the cluster, the role, the node; a savepoint, the lock, the node again, what
    # lingers there, its deletion, the others' sum, the totals, the release
    with django_assert_num_queries(13):  # one writes the event
        api(ada).delete(path(node))
