"""A cluster to test in: 8 cores, 16 GiB and 4 GPUs of the organization `org`."""

from typing import Any

import pytest

from clusters.models import Cluster
from organizations.models import Organization


def make_cluster(organization: Organization, **columns: Any) -> Cluster:
    given = {"name": "west", "total_cpu_milli": 8000, "total_ram_mib": 16384, "total_gpu": 4}
    return Cluster.objects.create(organization=organization, **{**given, **columns})


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org)
