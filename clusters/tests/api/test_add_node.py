"""POST /api/clusters/{id}/nodes"""

from functools import partial

import pytest

from clusters.models import Cluster, Node
from clusters.services import nodes
from clusters.services.nodes import MOST_NODES
from clusters.tests.allocation import allocate, make_cluster, make_node, row, totals
from organizations.tests.people import all_at_once

SIZE = {"cpu": 2.5, "ram": 1024, "gpu": 1}


def path(cluster):
    return f"/api/clusters/{cluster.pk}/nodes"


def body(**fields):
    return {"name": "node-1", **SIZE, **fields}


def test_an_admin_adds_the_first_and_the_pool_becomes_its_size(api, ada, cluster, woken):
    before = cluster.changed_at
    response = api(ada).post(path(cluster), body(labels={"zone": "b"}))
    assert response.status_code == 201
    node = Node.objects.get()
    assert response.json() == {
        "id": str(node.pk),
        "cluster_id": str(cluster.pk),
        "cluster": "west",
        "name": "node-1",
        "state": "READY",
        "reason": None,
        "drain": None,
        "failed_starts": None,
        **SIZE,
        "allocated_cpu": 0,
        "allocated_ram": 0,
        "allocated_gpu": 0,
        "available_cpu": 2.5,
        "available_ram": 1024,
        "available_gpu": 1,
        "closed_cpu": 0,
        "closed_ram": 0,
        "closed_gpu": 0,
        "labels": {"zone": "b"},
        "endpoint": None,
        "pending": None,
    }
    assert totals(cluster) == (2500, 1024, 1)
    assert cluster.changed_at > before
    assert woken == [cluster.pk]


def test_the_totals_are_the_sum_of_the_nodes_whatever_their_state(api, ada, cluster):
    first = make_node(cluster)
    nodes.cordon(first)
    allocate(first)  # only the first node must find nothing allocated
    assert api(ada).post(path(cluster), body(name="node-2")).status_code == 201
    assert totals(cluster) == (6500, 9216, 3)


def test_the_first_is_refused_while_the_pool_is_in_use(api, ada, org, woken):
    cluster = make_cluster(org, allocated_cpu_milli=1500, allocated_ram_mib=64, allocated_gpu=1)
    before = row(cluster)
    response = api(ada).post(path(cluster), body())
    assert response.status_code == 409
    assert response.json() == {
        "detail": (
            "1.5 CPU cores, 64 MiB of RAM, 1 GPU are allocated in the pool, and no node: set the "
            "cluster's state to DRAINING, add its nodes once it is empty, and set it to ACTIVE "
            "again."
        ),
        "code": "cluster_in_use",
    }
    assert row(cluster) == before
    assert not Node.objects.exists()
    assert woken == []


def test_a_taken_name_is_refused(api, ada, cluster, org, woken):
    make_node(cluster)
    woken.clear()
    before = row(cluster)
    response = api(ada).post(path(cluster), body())
    assert response.status_code == 409
    assert response.json() == {
        "detail": "The cluster has a node named 'node-1' already.",
        "code": "name_taken",
    }
    assert row(cluster) == before
    assert woken == []
    assert api(ada).post(path(make_cluster(org, name="east")), body()).status_code == 201


def test_there_is_a_most(api, ada, cluster):
    amounts = {"cpu_milli": 1, "ram_mib": 1, "gpu": 0}
    Node.objects.bulk_create(
        Node(cluster=cluster, name=f"n{number}", **amounts) for number in range(MOST_NODES)
    )
    response = api(ada).post(path(cluster), body(name="node-2"))
    assert response.status_code == 409
    assert response.json()["code"] == "too_many_nodes"
    assert Node.objects.count() == MOST_NODES


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("sent", [body(), {"nonsense": 1}])
def test_others_may_not(api, cluster, woken, person, status, sent, request):
    before = row(cluster)
    assert api(request.getfixturevalue(person)).post(path(cluster), sent).status_code == status
    assert not Node.objects.exists()
    assert row(cluster) == before
    assert woken == []


def test_a_call_without_a_token_is_401(anyone, cluster):
    assert anyone.post(path(cluster), body()).status_code == 401
    assert not Node.objects.exists()


GOOD_LABELS = [
    {},
    {"a": ""},
    {"a": "b"},
    {"A-b_c.d9": "9_-.Z"},
    {"x" * 63: "y" * 63},
    {"nvidia.com/gpu.product": "A100-SXM4-80GB"},
    {".".join(["a" * 49] * 5) + "/x": "1"},
    {f"label-{number}": "" for number in range(64)},
]
BAD_LABELS = [
    {"": "b"},
    {"-a": "b"},
    {"a.": "b"},
    {"a b": "c"},
    {"x" * 64: "y"},
    {"a": "y" * 64},
    {"a": "b c"},
    {"a": "b-"},
    {"a": "b\n"},
    {"a\n": "b"},
    {"ä": "b"},
    {"a": "ä"},
    {"/a": "b"},
    {"A.com/a": "b"},
    {"a/b/c": "d"},
    {".".join(["a" * 50] * 5) + "/x": "1"},
    {"a": 1},
    {"a": None},
    {"a": ["b"]},
    {f"label-{number}": "" for number in range(65)},
    None,
    [],
    "a=b",
]


@pytest.mark.parametrize("labels", GOOD_LABELS)
def test_labels_are_kept_as_they_are(api, ada, cluster, labels):
    response = api(ada).post(path(cluster), body(labels=labels))
    assert response.status_code == 201
    assert response.json()["labels"] == labels == Node.objects.get().labels


@pytest.mark.parametrize("labels", BAD_LABELS)
def test_labels_have_a_syntax(api, ada, cluster, labels):
    response = api(ada).post(path(cluster), body(labels=labels))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["labels"]
    assert not Node.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", None),
        ("cpu", 0),
        ("cpu", 0.0001),
        ("cpu", 10_000_001),
        ("ram", 0),
        ("ram", 1.5),
        ("gpu", -1),
        ("gpu", 10_000_001),
        ("state", "READY"),
        ("allocated_gpu", 1),
    ],
)
def test_bad_values_are_named(api, ada, cluster, field, value):
    response = api(ada).post(path(cluster), body(**{field: value}))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert not Node.objects.exists()


def test_it_takes_few_queries(api, ada, cluster, django_assert_num_queries):
    # the caller, the cluster, the role; a savepoint, the lock, how many there are, the row, their
    # sum, the totals, the release
    with django_assert_num_queries(11):  # one writes the event
        assert api(ada).post(path(cluster), body()).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_two_that_come_at_once_with_one_name_one_is_added(api, ada, org):
    cluster = make_cluster(org)
    post = partial(api(ada).post, path(cluster), body())
    answers = all_at_once(post, post)
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert Node.objects.count() == 1
    assert totals(cluster) == (2500, 1024, 1)


@pytest.mark.django_db(transaction=True)
def test_the_totals_count_all_that_come_at_once(api, ada, org):
    cluster = make_cluster(org)
    post = partial(api(ada).post, path(cluster))
    answers = all_at_once(*(partial(post, body(name=f"node-{number}")) for number in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert totals(cluster) == (15_000, 6144, 6)


def test_it_is_gone_with_its_cluster(api, ada, cluster):
    make_node(cluster)
    assert api(ada).delete(f"/api/clusters/{cluster.pk}").status_code == 204
    assert not Node.objects.exists()
    assert not Cluster.objects.exists()
