"""A testbed: a cluster of machines with fake runtimes, and a scheduler at hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.models import Runtime as Kind
from clusters.services.node_changes import follow_nodes
from clusters.tests.allocation import make_cluster
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.reasons.reader import reasons_for
from deployments.reconciler import circuit_breaker
from deployments.reconciler.loop import reconcile
from deployments.reconciler.starts import image_pulls
from deployments.runtimes.base import Capacity, Key, LaunchSpec, ReplicaPlacement
from deployments.services.submit import create_deployment
from deployments.tests.runtimes.fake_runtime import FakeRuntime, InterceptedRuntime
from organizations.models import Organization
from scheduler.tests.conftest import run_cycle

GIVEN: dict[str, Any] = {"image": "sleep", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}


def endpoint_of(node: Node) -> UUID:
    assert node.endpoint_id is not None
    return node.endpoint_id


def launch_spec(id_: str, attempt: int = 1, image: str = "sleep") -> LaunchSpec:
    return LaunchSpec(id_, attempt, [ReplicaPlacement(0, "a")], "x", image, 1000, 512, 0)


def mark_lost(node: Node) -> None:
    """As if the node had been NOT_READY for longer than the cluster waits."""
    long_ago = timezone.now() - timedelta(seconds=301)
    Node.objects.filter(pk=node.pk).update(not_ready_since=long_ago)


def reason(row: Deployment) -> dict[str, Any]:
    """The reason that the API gives for the row; empty if it gives none."""
    fresh = Deployment.objects.select_related("priority_class").get(pk=row.pk)
    return reasons_for([fresh])[row.pk] or {}


@contextmanager
def docker_runtimes_from(factory: runtime_connections.Factory) -> Iterator[None]:
    """Docker clusters get their runtimes from this factory meanwhile."""
    previous = runtime_connections.register(Kind.DOCKER, factory)
    assert previous is not None
    yield
    runtime_connections.register(Kind.DOCKER, previous)


class Testbed:
    """A cluster with everything around it: `submit`, `cycle`, `reconcile`, and fake runtimes."""

    __test__ = False  # for pytest, which takes the name for that of a test

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
        self.runtimes: dict[UUID, FakeRuntime] = {}
        self._intercepts: dict[UUID, dict[str, Callable[..., Any]]] = {}

    def add_node(self, name: str, **columns: Any) -> Node:
        endpoint = Endpoint.objects.create(cluster=self.cluster, url=f"tcp://{name}:2376")
        given = {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 2, "observed": NodeState.NOT_READY}
        node = Node.objects.create(
            cluster=self.cluster, name=name, endpoint=endpoint, **{**given, **columns}
        )
        capacity = Capacity(name, 16000, 65536, None)
        self.runtimes[endpoint.pk] = FakeRuntime(cluster_id=str(self.cluster.pk), nodes=[capacity])
        self._intercepts[endpoint.pk] = {}
        follow_nodes(self.cluster.pk)
        return node

    def runtime_of(self, node: Node) -> FakeRuntime:
        return self.runtimes[endpoint_of(node)]

    def intercept(self, node: Node, call: str, by: Callable[..., Any] | None) -> None:
        """`by` answers a call to the node's runtime; it gets the runtime's own, and the arguments.

        None ends the interception.
        """
        intercepts = self._intercepts[endpoint_of(node)]
        if by is None:
            del intercepts[call]
        else:
            intercepts[call] = by

    def connect(self, cluster: Cluster, endpoint: Endpoint, *_: Any) -> Any:
        """The runtime at an endpoint, as a factory of `runtime_connections`."""
        return InterceptedRuntime(self.runtimes[endpoint.pk], self._intercepts[endpoint.pk])

    def submit(self, image: str = "sleep", *, priority: str = "LOW", **columns: Any) -> Deployment:
        spec = {**GIVEN, "image": image, **columns}
        owner = self.people["dev"]
        return create_deployment(owner, self.cluster.pk, spec, priority=priority).deployment

    def cycle(self) -> None:
        run_cycle(self.cluster)

    def reconcile(self, *deployment_ids: str) -> None:
        """Passes over everything, or over those, until none is left; pulls images at once."""
        requested: list[tuple[UUID, str]] = []
        while True:
            more = reconcile(
                self.cluster.pk, deployment_ids or ["*"], lambda *pull: requested.append(pull)
            )
            for endpoint_id, image in dict.fromkeys(requested):
                if image_pulls.should_request(endpoint_id, image):
                    image_pulls.pull(endpoint_id, image)
            if not more and not requested:
                return
            requested.clear()

    def settle(self) -> None:
        """Run cycles and passes until both have nothing to do, as the workers would."""
        for _ in range(4):
            self.cycle()
            self.reconcile()

    def disconnect(self, node: Node) -> None:
        self.runtime_of(node).unavailable = True

    def reconnect(self, node: Node) -> None:
        self.runtime_of(node).unavailable = False
        circuit_breaker.answered(endpoint_of(node))  # else the next call comes after a pause

    def fresh(self, row: Deployment) -> Deployment:
        return Deployment.objects.select_related("cluster", "priority_class").get(pk=row.pk)

    def status(self, row: Deployment) -> str:
        return str(self.fresh(row).status)

    def node_of(self, row: Deployment) -> Node:
        return Node.objects.get(pk=self.fresh(row).placement[0]["node_id"])

    def key(self, row: Deployment, replica: int = 0) -> Key:
        return Key(str(row.pk), self.fresh(row).attempt, replica)

    def replicas(self) -> set[tuple[str, str]]:
        """(deployment id, phase) of each replica on a node that answers."""
        return {
            (each.key.deployment_id, str(each.phase))
            for runtime in self.runtimes.values()
            if not runtime.unavailable
            for each in runtime.observe()
        }

    def events(self, row: Deployment) -> list[str]:
        entries = DeploymentEvent.objects.filter(deployment=row).order_by("id")
        return [entry.type for entry in entries]

    def end_retry_pauses(self) -> None:
        """As if every pause before another attempt were over."""
        Deployment.objects.filter(retry_at__isnull=False, status=Status.QUEUED).update(
            retry_at=None
        )

    def expire_grace(self, row: Deployment) -> None:
        """As if the row's grace were over."""
        Deployment.objects.filter(pk=row.pk).update(stop_by=timezone.now())
