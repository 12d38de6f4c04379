"""A testbed on a real Docker engine: submits, outcomes, and the containers on the engine."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentEvent, DeploymentLog
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.runtimes.docker.engine import IMAGE, DockerEngine
from deployments.usage.models import AllocationInterval
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from scheduler import audit

PATIENCE_S = 20.0
SLEEPS = {"command": ["sleep"], "args": ["600"]}


def shell(line: str) -> dict[str, Any]:
    return {"command": ["sh", "-c"], "args": [line]}


class Outcome(NamedTuple):
    """The end state of a deployment, its containers and logs; without notices, which may vary."""

    status: str
    attempt: int = 1
    retries: int = 0
    preemptions: int = 0
    exit_code: int | None = None
    events: tuple[str, ...] = ()
    containers: tuple[tuple[int, int, str], ...] = ()  # attempt, replica, state
    outputs: tuple[tuple[int, int, bytes], ...] = ()  # attempt, replica


class DockerTestbed(Testbed):
    """One node of 1 core and 256 MiB, too small for two deployments."""

    def __init__(self, organization: Organization, people: dict[str, User], engine: DockerEngine):
        super().__init__(organization, people)
        self.engine = engine
        self.endpoint = Endpoint.objects.create(
            cluster=self.cluster, url=engine.access.url, trusted=True
        )
        self.runtime = DockerRuntime(engine.access, cluster_id=str(self.cluster.pk), node="node-1")
        self.add_engine()

    def add_engine(self, **columns: Any) -> Node:
        """The engine's node, as it is when it has just been attached."""
        given = {"cpu_milli": 1000, "ram_mib": 256, "gpu": 0, "observed": "NOT_READY"}
        return Node.objects.create(
            cluster=self.cluster, name="node-1", endpoint=self.endpoint, **{**given, **columns}
        )

    def submit(self, image: str = IMAGE, *, priority: str = "LOW", **columns: Any) -> Deployment:
        given = {"cpu_milli": 300, "ram_mib": 64, "gpu": 0, **SLEEPS, **columns}
        return super().submit(image, priority=priority, **given)

    def run(self, **columns: Any) -> Deployment:
        """A deployment that is RUNNING."""
        row = self.submit(**columns)
        self.run_until(lambda: self.status(row) == "RUNNING")
        assert self.status(row) == "RUNNING"
        return row

    def signal(self, row: Deployment, signal: str, replica: int = 0) -> None:
        """Send the signal, and wait until the container has ended."""
        name = f"mlops-{row.pk}-{self.fresh(row).attempt}-{replica}"
        self.engine.client.kill(name, signal)
        self.engine.client.wait(name, timeout=PATIENCE_S)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Run cycles and passes, as the workers would, until `done`, at most for PATIENCE_S."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            self.end_retry_pauses()
            self.cycle()
            self.reconcile()
            if done() or time.monotonic() > give_up:
                return

    def outcome(self, row: Deployment) -> Outcome:
        fresh = self.fresh(row)
        logs = DeploymentLog.objects.filter(deployment=row).order_by("attempt", "replica")
        return Outcome(
            fresh.status,
            fresh.attempt,
            fresh.retry_count,
            fresh.preemption_count,
            fresh.exit_code,
            tuple(event for event in self.events(row) if event != "NOTICE"),
            tuple(each[1:] for each in self.containers() if each[0] == str(row.pk)),
            tuple((log.attempt, log.replica, bytes(log.output)) for log in logs),
        )

    def notices(self, row: Deployment) -> list[Any]:
        lines = DeploymentEvent.objects.filter(deployment=row, type="NOTICE").order_by("id")
        return [line.details for line in lines]

    def orphaned_ids(self) -> list[str]:
        """The deployment ids of containers whose deployment does not exist."""
        known = {str(pk) for pk in Deployment.objects.values_list("pk", flat=True)}
        return [each[0] for each in self.containers() if each[0] not in known]

    def containers(self) -> list[tuple[str, int, int, str]]:
        """Deployment, attempt, replica and state of each container, as the engine lists them."""
        filters = {"label": f"mlops-platform.cluster={self.cluster.pk}"}
        found = []
        for each in self.engine.client.containers(all=True, filters=filters):
            labels = {name.rpartition(".")[2]: text for name, text in each["Labels"].items()}
            attempt, replica = int(labels["attempt"]), int(labels["replica"])
            found.append((labels["deployment"], attempt, replica, each["State"]))
        return sorted(found)

    def history(self, since: float) -> list[tuple[str, str]]:
        """(action, deployment id) of the containers' events, as the engine lists them."""
        events = self.engine.client.events(
            since=since, until=time.time(), decode=True, filters={"type": "container"}
        )
        return [
            (each["Action"], each["Actor"]["Attributes"]["mlops-platform.deployment"])
            for each in events
            if "mlops-platform.deployment" in each["Actor"]["Attributes"]
        ]

    def wipe(self) -> None:
        """Reset everything to before the first submit, so that one test can repeat a scenario."""
        for each in self.runtime.observe():
            self.runtime.remove(each.key)
        Deployment.objects.all().delete()
        AllocationInterval.objects.all().delete()
        nothing = {f"allocated_{name}": 0 for name in ("cpu_milli", "ram_mib", "gpu")}
        Node.objects.filter(cluster=self.cluster).delete()
        Cluster.objects.filter(pk=self.cluster.pk).update(**nothing)
        Endpoint.objects.filter(pk=self.endpoint.pk).update(error="", seen_at=None)
        self.add_engine()
        redis_client().flushdb()


@pytest.fixture
def docker_testbed(
    transactional_db: None, org: Organization, dev: User, docker_engine: DockerEngine
) -> Iterator[DockerTestbed]:
    testbed = DockerTestbed(org, {"dev": dev}, docker_engine)
    yield testbed
    for each in testbed.runtime.observe():
        testbed.runtime.remove(each.key)
    testbed.runtime.close()
    runtime_connections.disconnect(testbed.endpoint.pk)
    assert audit.breaches() == []
