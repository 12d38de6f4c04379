"""A cluster to test in: 8 cores, 16 GiB and 4 GPUs of the organization `org`; and nodes."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from clusters.allocation import AllocationChange, move
from clusters.models import Cluster, Node
from clusters.services.nodes import add_node
from clusters.signals import cluster_changed
from organizations.models import Organization


def make_cluster(organization: Organization, **columns: Any) -> Cluster:
    given = {"name": "west", "total_cpu_milli": 8000, "total_ram_mib": 16384, "total_gpu": 4}
    return Cluster.objects.create(organization=organization, **{**given, **columns})


def make_node(cluster: Cluster, **columns: Any) -> Node:
    """Half the size of `make_cluster`'s pool, whose totals become the sum of its nodes."""
    given = {"name": "node-1", "cpu_milli": 4000, "ram_mib": 8192, "gpu": 2}
    return add_node(cluster, {**given, **columns})


def allocate(node: Node, cpu_milli: int = 1000, ram_mib: int = 512, gpu: int = 1) -> None:
    """Allocate these amounts on the node; negative amounts are freed."""
    change = AllocationChange()
    change.add(str(node.pk), (cpu_milli, ram_mib, gpu))
    move({node.cluster_id: change})


def totals(cluster: Cluster) -> tuple[int, int, int]:
    cluster.refresh_from_db()
    return cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu


def row(instance: Any) -> dict[str, Any]:
    """Every column of the row in the table."""
    instance.refresh_from_db()
    return {field.name: getattr(instance, field.name) for field in instance._meta.concrete_fields}


@pytest.fixture
def woken() -> Iterator[list[UUID]]:
    """The ids of the clusters for which the scheduler is woken, in order."""
    heard: list[UUID] = []

    def hear(cluster_id: UUID, **_: Any) -> None:
        heard.append(cluster_id)

    cluster_changed.connect(hear)
    yield heard
    cluster_changed.disconnect(hear)


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org)
