"""Clusters with containers, for tests; names resolve without a network."""

import socket
from functools import partial
from typing import Any

import pytest

from clusters.models import Cluster, Endpoint, Node, Runtime
from clusters.queries import secrets_of
from clusters.services import attach
from clusters.tests.allocation import make_cluster
from clusters.tests.endpoints.pki import pem
from clusters.tests.endpoints.resolver import getaddrinfo
from mlops_platform.sealing import seal
from organizations.models import Organization

NAMES = {"gpu-1.example.org": ["10.0.0.5"], "here.example.org": ["10.0.0.5", "127.0.0.1"]}
NOTHING = {"total_cpu_milli": 0, "total_ram_mib": 0, "total_gpu": 0}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver knows NAMES, and addresses."""
    monkeypatch.setattr(socket, "getaddrinfo", partial(getaddrinfo, NAMES))


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
