"""A submit that not even the empty cluster could run is accepted, with a warning."""

import pytest

from clusters.models import Cluster
from clusters.tests.allocation import make_node
from deployments.models import Deployment
from deployments.tests.workloads import body

PATH = "/api/deployments"


@pytest.fixture
def nodes(cluster: Cluster) -> None:
    """Two nodes of 2 GPUs each, 4 cores and 8 GiB."""
    for name in ("node-1", "node-2"):
        make_node(cluster, name=name, labels={"gpu": "A100"})


NEVER = [
    ({"required_gpu": 3}, "EXCEEDS_CAPACITY", "required_gpu", "the 2 that the largest node has."),
    ({"required_gpu": 5}, "EXCEEDS_CAPACITY", "required_gpu", "the 4 that the whole cluster has."),
    ({"required_cpu": "5"}, "EXCEEDS_CAPACITY", "required_cpu", "that the largest node has."),
    ({"required_ram": "9Gi"}, "EXCEEDS_CAPACITY", "required_ram", "that the largest node has."),
    ({"node_selector": {"gpu": "a100"}}, "NO_MATCHING_NODE", "node_selector", "gpu=A100 (2)."),
    ({"required_cpu": 2.5, "replicas": 3}, "EXCEEDS_CAPACITY", "replicas", "of its 3 replicas."),
]


@pytest.mark.parametrize(("asked", "code", "field", "end"), NEVER)
@pytest.mark.usefixtures("nodes")
def test_it_is_told_what_to_change(api, dev, cluster, asked, code, field, end):
    answer = api(dev).post(PATH, body(cluster, **asked))
    assert answer.status_code == 201
    [warning] = answer.json()["warnings"]
    assert (warning["code"], warning["field"]) == (code, field)
    assert warning["message"].endswith(end)
    quote = api(dev).post(f"{PATH}/quote", body(cluster, **asked)).json()
    assert quote["warnings"] == [warning]
    assert quote["reason"]["message"] == warning["message"]


@pytest.mark.parametrize("asked", [{}, {"required_gpu": 2, "node_selector": {"gpu": "A100"}}])
@pytest.mark.usefixtures("nodes")
def test_what_some_node_could_take_is_told_nothing_even_while_all_are_full(
    api, dev, cluster, asked
):
    cluster.nodes.update(state="CORDONED", allocated_gpu=2)
    assert api(dev).post(PATH, body(cluster, **asked)).json()["warnings"] == []


def test_a_pool_is_compared_with_its_totals(api, dev, cluster):
    assert api(dev).post(PATH, body(cluster, required_gpu=4)).json()["warnings"] == []
    [warning] = api(dev).post(PATH, body(cluster, required_gpu=5)).json()["warnings"]
    assert warning["message"].endswith("more than the 4 that the whole cluster has.")


def test_a_cluster_without_nodes_is_what_to_look_at_and_not_the_request(api, dev, cluster):
    Cluster.objects.update(total_cpu_milli=0, total_ram_mib=0, total_gpu=0)
    whole = {"exclusive": True}, {"required_gpu": "all"}
    for asked in ({}, {"replicas": 2}, {"node_selector": {"gpu": "A100"}}, *whole):
        [warning] = api(dev).post(PATH, body(cluster, **asked)).json()["warnings"]
        assert (warning["code"], warning["field"]) == ("NO_CAPACITY_YET", "cluster_id")
        assert warning["message"] == "The cluster has no nodes yet."


def test_a_viewer_and_a_stranger_are_told_nothing(api, vera, sam, cluster):
    for user, status in ((vera, 403), (sam, 404)):
        answer = api(user).post(PATH, body(cluster, required_gpu=99))
        assert answer.status_code == status
        assert "warnings" not in answer.json()
    assert not Deployment.objects.exists()
