"""What is free where nothing starts is no capacity that can be had: `available_*`, `closed_*`."""

import pytest

from clusters.models import Cluster
from clusters.tests.allocation import allocate, make_cluster, make_node

CPU_RAM_GPU = ("cpu", "ram", "gpu")


def amounts(answer, kind):
    return tuple(answer[f"{kind}_{name}"] for name in CPU_RAM_GPU)


@pytest.fixture
def in_use(cluster):
    """Two nodes of 4 cores, 8 GiB and 2 GPUs, with 1 core, 512 MiB and 1 GPU allocated on each."""
    for name in ("a", "b"):
        allocate(make_node(cluster, name=name))
    return cluster


@pytest.mark.parametrize(
    "closed",
    [
        {"state": "CORDONED"},
        {"state": "DRAINING"},
        {"state": "DRAINED"},
        {"observed": "NOT_READY"},
        {"observed": "CORDONED"},
        {"judged": "CORDONED"},
    ],
    ids=str,
)
def test_what_is_free_on_a_closed_node_is_closed_there_and_in_its_cluster(
    api, vera, in_use, closed
):
    in_use.nodes.filter(name="a").update(**closed)
    path = f"/api/clusters/{in_use.pk}"
    a, b = api(vera).get(f"{path}/nodes").json()
    assert (amounts(a, "available"), amounts(a, "closed")) == ((0, 0, 0), (3, 7680, 1))
    assert (amounts(b, "available"), amounts(b, "closed")) == ((3, 7680, 1), (0, 0, 0))
    for answer in (api(vera).get(path).json(), api(vera).get(f"{path}/status").json()):
        assert amounts(answer, "available") == (3, 7680, 1)
        assert amounts(answer, "closed") == (3, 7680, 1)
        parts = zip(
            *(amounts(answer, kind) for kind in ("allocated", "available", "closed")), strict=True
        )
        assert tuple(map(sum, parts)) == amounts(answer, "total")


@pytest.mark.parametrize("state", ["PAUSED", "DRAINING"])
def test_a_cluster_that_starts_nothing_has_nothing_available(api, ada, in_use, state):
    answer = api(ada).patch(f"/api/clusters/{in_use.pk}", {"state": state}).json()
    assert (amounts(answer, "available"), amounts(answer, "closed")) == ((0, 0, 0), (6, 15360, 2))


def test_in_a_list_each_cluster_has_its_own(api, vera, org, in_use):
    pool = make_cluster(org, name="pool")
    Cluster.objects.filter(pk=pool.pk).update(allocated_gpu=1)
    in_use.nodes.filter(name="a").update(state="DRAINED")
    listed = {each["name"]: each for each in api(vera).get("/api/clusters").json()}
    assert amounts(listed["west"], "available") == (3, 7680, 1)
    assert amounts(listed["pool"], "available") == (8, 16384, 3)
    assert amounts(listed["pool"], "closed") == (0, 0, 0)
