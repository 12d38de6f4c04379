"""A deployment that runs at an engine whose log never ends."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, Runtime
from clusters.tests.allocation import make_cluster
from deployments import runtime_connections
from deployments.models import Deployment, Status
from deployments.tests.workloads import make
from mlops_platform.sealing import seal
from mlops_platform.tests.web.hostile_engine import Engine, hostile_engine
from organizations.models import Organization


@pytest.fixture
def engine(transactional_db: None) -> Iterator[Engine]:
    """It drips a line each tenth of a second."""
    with hostile_engine("") as engine:
        engine.drip_every_s = 0.1
        yield engine


@pytest.fixture
def dripping(engine: Engine, org: Organization, dev: User) -> Iterator[Deployment]:
    yield from running_at(engine, org, dev)


@pytest.fixture
def others(sams_org: Organization, sam: User) -> Iterator[Deployment]:
    """A deployment of another organization, at another engine."""
    with hostile_engine("") as engine:
        yield from running_at(engine, sams_org, sam)


def running_at(engine: Engine, organization: Organization, user: User) -> Iterator[Deployment]:
    cluster: Cluster = make_cluster(organization, name="real", runtime=Runtime.DOCKER)
    engine.cluster_id = str(cluster.pk)
    secrets = seal({})
    endpoint = Endpoint.objects.create(
        cluster=cluster, url=engine.url, trusted=True, secrets=secrets
    )
    node = Node.objects.create(
        cluster=cluster, name="a", endpoint=endpoint, cpu_milli=4000, ram_mib=8192, gpu=2
    )
    row = make(cluster, user, Status.RUNNING, attempt=1)
    row.placement = [{"node_id": str(node.pk), "node": "a", "replicas": 1}]
    row.save(update_fields=["placement"])
    yield row
    runtime_connections.disconnect(endpoint.pk)
