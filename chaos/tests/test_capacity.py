"""Over-commits and wrong counters are found in the tables themselves."""

from typing import Any

import pytest
from django.db import connection

from chaos.checks.capacity import look
from clusters.models import Cluster, Node
from clusters.tests.allocation import allocate, make_cluster, make_node
from deployments.models import Deployment, PriorityClass, Status
from organizations.models import Organization

pytestmark = pytest.mark.django_db


def running(cluster: Cluster, node: Node | None = None, **columns: Any) -> Deployment:
    placement = [{"node_id": str(node.pk), "replicas": 1}] if node else [{"replicas": 1}]
    given = {
        "owner": cluster.organization.memberships.get().user,
        "name": "train",
        "image": "lab/train:1",
        "cpu_milli": 1000,
        "ram_mib": 512,
        "gpu": 1,
        "priority_class": PriorityClass.objects.get(name="LOW"),
        "status": Status.RUNNING,
        "placement": placement,
    }
    return Deployment.objects.create(cluster=cluster, **{**given, **columns})


def found() -> list[str]:
    connection.ensure_connection()
    return [each.sentence for each in look(connection.connection)]


@pytest.fixture
def pool(org: Organization) -> Cluster:
    cluster = make_cluster(org)
    running(cluster)
    Cluster.objects.update(allocated_cpu_milli=1000, allocated_ram_mib=512, allocated_gpu=1)
    return cluster


@pytest.fixture
def node(org: Organization) -> Node:
    node = make_node(make_cluster(org))
    allocate(node)
    running(node.cluster, node)
    return node


def test_sound_counters_are_no_finding(pool: Cluster) -> None:
    assert found() == []


def test_sound_counters_of_nodes_are_no_finding(node: Node) -> None:
    assert found() == []


def test_a_counter_that_is_not_the_sum_is_found(pool: Cluster) -> None:
    Cluster.objects.update(allocated_gpu=2)
    assert found() == [f"cluster {pool.pk}: gpu capacity 4, counted 2, allocated 1"]


def test_what_runs_beyond_the_capacity_is_found_though_the_counter_is_within(pool: Cluster) -> None:
    for _ in range(4):
        running(pool)
    Cluster.objects.update(allocated_cpu_milli=5000, allocated_ram_mib=2560, allocated_gpu=4)
    assert found() == [f"cluster {pool.pk}: gpu capacity 4, counted 4, allocated 5"]


def test_what_has_yielded_does_not_count(pool: Cluster) -> None:
    running(pool, status=Status.STOPPING, next_status=Status.QUEUED, yielded=True)
    assert found() == []


def test_a_node_with_more_than_it_has_is_found(node: Node) -> None:
    Deployment.objects.update(gpu=3)
    assert sorted(found()) == [
        f"cluster {node.cluster_id}: gpu capacity 2, counted 1, allocated 3",
        f"node {node.pk}: gpu capacity 2, counted 1, allocated 3",
    ]


def test_a_node_whose_counter_is_not_the_sum_is_found(node: Node) -> None:
    Node.objects.update(allocated_cpu_milli=0)
    assert found() == [f"node {node.pk}: cpu capacity 4000, counted 0, allocated 1000"]
