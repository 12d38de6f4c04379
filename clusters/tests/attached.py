"""Clusters with containers, for tests; names resolve without a network."""

from typing import Any

import pytest

from clusters.endpoints import attachment
from clusters.endpoints.address_policy import Unresolvable
from clusters.models import Cluster, Endpoint, Node, Runtime
from clusters.queries import secrets_of
from clusters.secrets import seal
from clusters.services import attach
from clusters.tests.allocation import make_cluster
from clusters.tests.endpoints.pki import pem
from organizations.models import Organization

NAMES = {"gpu-1.example.org": ["10.0.0.5"], "here.example.org": ["10.0.0.5", "127.0.0.1"]}
NOTHING = {"total_cpu_milli": 0, "total_ram_mib": 0, "total_gpu": 0}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver knows NAMES, and addresses."""

    def resolve(host: str) -> list[str]:
        if host in NAMES:
            return NAMES[host]
        if host.replace(".", "").isdigit() or ":" in host:
            return [host]
        raise Unresolvable(host)

    monkeypatch.setattr(attachment, "resolve", resolve)


@pytest.fixture
def docker(org: Organization, names: None) -> Cluster:
    return make_cluster(org, name="engines", runtime=Runtime.DOCKER, **NOTHING)


@pytest.fixture
def engine(docker: Cluster) -> Node:
    """A node whose engine has not answered yet."""
    return attach.add_node(docker, {"name": "node-1", "endpoint": pem().body()})


@pytest.fixture
def kube(org: Organization, names: None) -> Cluster:
    """With an API server attached by its tenant."""
    cluster = make_cluster(org, name="kube", runtime=Runtime.KUBERNETES, **NOTHING)
    Endpoint.objects.create(
        cluster=cluster,
        url="https://10.0.0.9:6443",
        namespace="ml",
        secrets=seal({"ca": pem().ca, "token": "old"}),
    )
    return cluster


def secrets(**which: Any) -> dict[str, str]:
    """The opened secrets of the only endpoint."""
    return secrets_of(Endpoint.objects.get(**which))
