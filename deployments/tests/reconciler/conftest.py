"""A cluster of two machines whose runtimes are the simulated twins, and a scheduler at hand."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.models import Runtime as Kind
from clusters.node_changes import follow_nodes
from clusters.tests.allocation import make_cluster
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.reconciler import circuit_breaker, image_pulls, reconcile
from deployments.runtimes.base import Capacity, Key, LaunchSpec, Place
from deployments.services.submit import create_deployment
from deployments.tests.runtimes.fake_runtime import FakeRuntime
from organizations.models import Organization
from scheduler import audit
from scheduler.tests.conftest import run_cycle

GIVEN: dict[str, Any] = {"image": "sleep", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}


def endpoint_of(node: Node) -> UUID:
    assert node.endpoint_id is not None
    return node.endpoint_id


def launch(id_: str, attempt: int = 1, image: str = "sleep") -> LaunchSpec:
    return LaunchSpec(id_, attempt, [Place(0, "a")], "x", image, 1000, 512, 0)


def lose(node: Node) -> None:
    """As if it had been away for longer than anybody waits."""
    long_ago = timezone.now() - timedelta(seconds=301)
    Node.objects.filter(pk=node.pk).update(not_ready_since=long_ago)


class Site:
    """The cluster with everything around it: `submit`, `cycle`, `look`, and each node's twin."""

    def __init__(self, organization: Organization, people: dict[str, User]) -> None:
        self.cluster = make_cluster(
            organization,
            name="real",
            runtime=Kind.DOCKER,
            total_cpu_milli=0,
            total_ram_mib=0,
            total_gpu=0,
        )
        self.people = people
        self.twins: dict[UUID, FakeRuntime] = {}

    def add_node(self, name: str, **columns: Any) -> Node:
        endpoint = Endpoint.objects.create(cluster=self.cluster, url=f"tcp://{name}:2376")
        given = {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 2, "observed": NodeState.NOT_READY}
        node = Node.objects.create(
            cluster=self.cluster, name=name, endpoint=endpoint, **{**given, **columns}
        )
        capacity = Capacity(name, 16000, 65536, None)
        self.twins[endpoint.pk] = FakeRuntime(cluster_id=str(self.cluster.pk), nodes=[capacity])
        follow_nodes(self.cluster.pk)
        return node

    def twin(self, node: Node) -> FakeRuntime:
        return self.twins[endpoint_of(node)]

    def submit(self, image: str = "sleep", *, priority: str = "LOW", **columns: Any) -> Deployment:
        spec = {**GIVEN, "image": image, **columns}
        owner = self.people["dev"]
        return create_deployment(owner, self.cluster.pk, spec, priority=priority).deployment

    def cycle(self) -> None:
        run_cycle(self.cluster)

    def look(self, *looks: str) -> None:
        """A pass over everything, or over those; images that are wanted are pulled at once."""
        wanted: list[tuple[UUID, str]] = []
        while True:
            more = reconcile(self.cluster.pk, looks or ["*"], lambda *pull: wanted.append(pull))
            for endpoint_id, image in wanted:
                if image_pulls.begin(endpoint_id, image):
                    image_pulls.pull(endpoint_id, image)
            if not more and not wanted:
                return
            wanted.clear()

    def settle(self) -> None:
        """Plan and look until both have nothing to do, as the workers would."""
        for _ in range(4):
            self.cycle()
            self.look()

    def away(self, node: Node, away: bool = True) -> None:
        self.twin(node).unavailable = away
        if not away:
            circuit_breaker.answered(endpoint_of(node))  # else it is asked again only after a while

    def fresh(self, row: Deployment) -> Deployment:
        return Deployment.objects.select_related("cluster", "priority_class").get(pk=row.pk)

    def status(self, row: Deployment) -> str:
        return str(self.fresh(row).status)

    def node_of(self, row: Deployment) -> Node:
        return Node.objects.get(pk=self.fresh(row).placement[0]["node_id"])

    def key(self, row: Deployment, replica: int = 0) -> Key:
        return Key(str(row.pk), self.fresh(row).attempt, replica)

    def seen(self) -> set[tuple[str, str]]:
        """(deployment id, phase) of whatever is on any node."""
        return {
            (each.key.deployment_id, str(each.phase))
            for twin in self.twins.values()
            if not twin.unavailable
            for each in twin.observe()
        }

    def events(self, row: Deployment) -> list[str]:
        lines = DeploymentEvent.objects.filter(deployment=row).order_by("id")
        return [line.type for line in lines]

    def end_pauses(self) -> None:
        """As if every pause before another try were over."""
        Deployment.objects.filter(retry_at__isnull=False, status=Status.QUEUED).update(
            retry_at=None
        )

    def overdue(self, row: Deployment) -> None:
        """As if its grace were over."""
        Deployment.objects.filter(pk=row.pk).update(stop_by=timezone.now())


@pytest.fixture
def site(db: None, org: Organization, dev: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Whatever a test does to it, the books are right afterwards."""
    site = Site(org, {"dev": dev})

    def twin(cluster: Cluster, endpoint: Endpoint, *_: Any) -> FakeRuntime:
        return site.twins[endpoint.pk]

    monkeypatch.setitem(runtime_connections.FACTORIES, Kind.DOCKER, twin)
    yield site
    assert audit.breaches() == []


@pytest.fixture
def a(site: Site) -> Node:
    return site.add_node("a")


@pytest.fixture
def b(site: Site, a: Node) -> Node:
    return site.add_node("b")
