"""A cluster to test in: 8 cores, 16 GiB and 4 GPUs of the organization `org`; and nodes."""

from typing import Any

import pytest

from clusters.models import Cluster, Node
from clusters.nodes import add_node
from organizations.models import Organization


def make_cluster(organization: Organization, **columns: Any) -> Cluster:
    given = {"name": "west", "total_cpu_milli": 8000, "total_ram_mib": 16384, "total_gpu": 4}
    return Cluster.objects.create(organization=organization, **{**given, **columns})


def make_node(cluster: Cluster, **columns: Any) -> Node:
    """Half the size of `make_cluster`'s pool, whose totals become the sum of its nodes."""
    given = {"name": "node-1", "cpu_milli": 4000, "ram_mib": 8192, "gpu": 2}
    return add_node(cluster, {**given, **columns})


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org)
