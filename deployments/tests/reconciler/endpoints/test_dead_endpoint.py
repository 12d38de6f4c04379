"""An endpoint that takes connections and never answers, next to one that does."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from clusters.models import Runtime as Kind
from clusters.services.node_changes import follow_nodes
from clusters.tests.allocation import make_cluster
from deployments import tasks, wakeup
from deployments.reconciler import circuit_breaker
from deployments.runtimes.base import Access, Registry, Runtime
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.reconciler.testbed import Testbed, docker_runtimes_from
from organizations.models import Organization

pytestmark = pytest.mark.django_db(transaction=True)

GENEROUS_S = 30.0


class Silence:
    """A server that never answers: `called` once a client has connected; `hang_up` ends it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.called = threading.Event()
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._clients.append(client)
            self.called.set()

    def hang_up(self) -> None:
        self._server.close()
        for client in self._clients:
            client.close()


@contextmanager
def in_a_thread(work: threading.Thread) -> Iterator[threading.Thread]:
    work.start()
    yield work
    work.join(GENEROUS_S)
    assert not work.is_alive()


@pytest.fixture
def silence() -> Iterator[Silence]:
    silence = Silence()
    yield silence
    silence.hang_up()


@pytest.fixture
def dead(org: Organization, silence: Silence) -> Endpoint:
    """The endpoint of another Docker cluster; the real client would wait a minute for an answer."""
    cluster = make_cluster(org, name="dead", runtime=Kind.DOCKER)
    endpoint = Endpoint.objects.create(cluster=cluster, url=silence.url, trusted=True)
    Node.objects.create(
        cluster=cluster, name="silent", endpoint=endpoint, cpu_milli=4000, ram_mib=8192, gpu=2
    )
    follow_nodes(cluster.pk)
    return endpoint


@pytest.fixture
def healthy(org: Organization, dev: User, dead: Endpoint) -> Iterator[Testbed]:
    testbed = Testbed(org, {"dev": dev})

    def connect(
        cluster: Cluster, endpoint: Endpoint, node: str, access: Access, _: Sequence[Registry]
    ) -> Runtime:
        if endpoint.pk in testbed.runtimes:
            return testbed.connect(cluster, endpoint)
        return DockerRuntime(access, cluster_id=str(cluster.pk), node=node, timeout_s=60)

    with docker_runtimes_from(connect):
        testbed.add_node("a")
        testbed.reconcile()
        yield testbed


def pass_over(cluster: Cluster) -> threading.Thread:
    """A thread that runs one pass as a worker does, with a database connection of its own."""
    from django.db import connections as databases

    def work() -> None:
        try:
            tasks.reconcile(str(cluster.pk))
        finally:
            databases.close_all()

    wakeup.set_flag(cluster.pk)
    wakeup.request(cluster.pk, [wakeup.EVERYTHING])
    return threading.Thread(target=work, daemon=True)


def test_a_dead_endpoint_delays_no_other_cluster_and_its_circuit_breaker_opens(
    healthy: Testbed, dead: Endpoint, silence: Silence
):
    with in_a_thread(pass_over(dead.cluster)) as hanging:
        assert silence.called.wait(GENEROUS_S)
        row = healthy.submit()
        healthy.cycle()
        for _ in range(2):  # a second pass is as fast as the first
            with in_a_thread(pass_over(healthy.cluster)):
                pass
        assert healthy.status(row) == "RUNNING"
        assert hanging.is_alive()
        assert not circuit_breaker.is_open(dead.pk)
        silence.hang_up()
    assert circuit_breaker.is_open(dead.pk)
    node = Node.objects.get(endpoint=dead)
    assert node.effective_state == "NOT_READY"


def test_a_cycle_does_not_wait_for_a_pass_over_its_cluster(
    healthy: Testbed, dead: Endpoint, silence: Silence, dev: User
):
    """The pass keeps no lock of the database while it waits for an answer."""
    from scheduler.tests.conftest import run_cycle

    with in_a_thread(pass_over(dead.cluster)) as hanging:
        assert silence.called.wait(GENEROUS_S)
        run_cycle(dead.cluster)
        assert hanging.is_alive()
        silence.hang_up()


def test_an_endpoint_with_an_open_circuit_breaker_is_not_called(
    healthy: Testbed, dead: Endpoint, silence: Silence
):
    circuit_breaker.failed(dead.pk)
    with in_a_thread(pass_over(dead.cluster)):
        pass
    assert not silence.called.is_set()
