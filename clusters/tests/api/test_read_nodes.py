"""GET /api/clusters/{id}/nodes and …/nodes/{node_id}"""

import pytest

from clusters.services.nodes import change_node, delete_node
from clusters.tests.allocation import allocate, make_cluster, make_node
from clusters.tests.paging import all_rows


@pytest.fixture
def node(cluster):
    return make_node(cluster, labels={"zone": "b"})


def path(cluster, node=None):
    return f"/api/clusters/{cluster.pk}/nodes" + (f"/{node.pk}" if node else "")


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_members_see_the_nodes_and_what_is_free_on_them(api, cluster, node, person, request):
    allocate(node, cpu_milli=1500, ram_mib=192, gpu=1)
    client = api(request.getfixturevalue(person))
    listed = client.get(path(cluster)).json()
    assert client.get(path(cluster, node)).json() == {**listed[0], "images": None}
    assert listed[0] == {
        "id": str(node.pk),
        "cluster_id": str(cluster.pk),
        "cluster": "west",
        "name": "node-1",
        "state": "READY",
        "reason": None,
        "drain": None,
        "failed_starts": None,
        "cpu": 4,
        "ram": 8192,
        "gpu": 2,
        "allocated_cpu": 1.5,
        "allocated_ram": 192,
        "allocated_gpu": 1,
        "available_cpu": 2.5,
        "available_ram": 8000,
        "available_gpu": 1,
        "closed_cpu": 0,
        "closed_ram": 0,
        "closed_gpu": 0,
        "labels": {"zone": "b"},
        "endpoint": None,
        "pending": None,
    }


def test_a_pool_has_none(api, vera, cluster):
    assert api(vera).get(path(cluster)).json() == []


def test_the_change_that_waits_for_a_drain_is_shown(api, vera, cluster, node):
    allocate(node)
    change_node(node, {"cpu_milli": 500}, drain=True)
    answer = api(vera).get(path(cluster, node)).json()
    assert (answer["state"], answer["cpu"]) == ("DRAINING", 4)
    assert answer["pending"] == {"cpu": 0.5, "ram": 8192, "gpu": 2}
    delete_node(node, drain=True)
    assert api(vera).get(path(cluster, node)).json()["pending"] == {"delete": True}


def test_a_stranger_gets_404_and_an_anonymous_call_401(api, anyone, sam, cluster, node):
    for address in (path(cluster), path(cluster, node)):
        assert api(sam).get(address).status_code == 404
        assert anyone.get(address).status_code == 401


def test_a_node_is_found_in_its_own_cluster_only(api, ada, org, cluster, node):
    other = make_cluster(org, name="east")
    make_node(other)
    assert api(ada).get(path(other, node)).status_code == 404
    assert api(ada).get(f"{path(cluster)}/{cluster.pk}").status_code == 404
    assert api(ada).get(f"{path(cluster)}/1").status_code == 404


def test_pages_contain_each_node_once(api, vera, cluster):
    for number in range(5):
        make_node(cluster, name=f"n{number}")
    names = [each["name"] for each in all_rows(api(vera), f"{path(cluster)}?limit=2")]
    assert names == [f"n{number}" for number in range(5)]


def test_an_unknown_parameter_is_refused(api, vera, cluster):
    response = api(vera).get(path(cluster), {"state": "READY"})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["state"]


def test_the_calls_take_few_queries(api, vera, cluster, node, django_assert_num_queries):
    for number in range(5):
        make_node(cluster, name=f"n{number}")
    # the caller, the cluster, their role, the rows
    with django_assert_num_queries(4):
        api(vera).get(path(cluster))
    with django_assert_num_queries(4):
        api(vera).get(path(cluster, node))
