"""An endpoint that takes connections and never answers, next to one that does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from clusters.models import Runtime as Kind
from clusters.node_changes import follow_nodes
from clusters.tests.allocation import make_cluster
from deployments import runtime_connections, tasks, wakeup
from deployments.reconciler import circuit_breaker
from deployments.runtimes.base import Registry
from deployments.runtimes.docker import DockerRuntime
from deployments.tests.reconciler.conftest import Site
from organizations.models import Organization

pytestmark = pytest.mark.django_db(transaction=True)

GENEROUS_S = 30.0


class Silence:
    """A server that says nothing: `asked` once somebody waits for it, until `hang_up`."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.asked = threading.Event()
        self._callers: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._server.accept()
            except OSError:
                return
            self._callers.append(caller)
            self.asked.set()

    def hang_up(self) -> None:
        self._server.close()
        for caller in self._callers:
            caller.close()


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
def dead(org: Organization, silence: Silence, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """Of a Docker cluster of its own, called by the real client, which would wait for a minute."""
    cluster = make_cluster(org, name="dead", runtime=Kind.DOCKER)
    endpoint = Endpoint.objects.create(cluster=cluster, url=silence.url, trusted=True)
    Node.objects.create(
        cluster=cluster, name="silent", endpoint=endpoint, cpu_milli=4000, ram_mib=8192, gpu=2
    )
    follow_nodes(cluster.pk)
    return endpoint


@pytest.fixture
def healthy(org: Organization, dev: User, dead: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(org, {"dev": dev})

    def connect(
        cluster: Cluster, endpoint: Endpoint, node: str, access: object, _: list[Registry]
    ) -> object:
        if endpoint.pk in site.twins:
            return site.twins[endpoint.pk]
        return DockerRuntime(access, cluster_id=str(cluster.pk), node=node, timeout_s=60)  # type: ignore[arg-type]  # as the factories are given it

    monkeypatch.setitem(runtime_connections.FACTORIES, Kind.DOCKER, connect)
    site.add_node("a")
    site.look()
    return site


def a_pass(cluster: Cluster) -> threading.Thread:
    """As a worker's thread does it, with a database connection of its own."""
    from django.db import connections as databases

    def work() -> None:
        try:
            tasks.reconcile(str(cluster.pk))
        finally:
            databases.close_all()

    wakeup.set_flag(cluster.pk)
    wakeup.request(cluster.pk, [wakeup.EVERYTHING])
    return threading.Thread(target=work, daemon=True)


def test_a_dead_endpoint_delays_nobody_else_and_its_breaker_opens(
    healthy: Site, dead: Endpoint, silence: Silence
):
    with in_a_thread(a_pass(dead.cluster)) as hanging:
        assert silence.asked.wait(GENEROUS_S)
        row = healthy.submit()
        healthy.cycle()
        for _ in range(2):  # the second is no slower for the first
            with in_a_thread(a_pass(healthy.cluster)):
                pass
        assert healthy.status(row) == "RUNNING"
        assert hanging.is_alive()
        assert not circuit_breaker.is_open(dead.pk)
        silence.hang_up()
    assert circuit_breaker.is_open(dead.pk)
    node = Node.objects.get(endpoint=dead)
    assert node.effective_state == "NOT_READY"


def test_a_cycle_of_its_own_cluster_waits_for_no_pass_either(
    healthy: Site, dead: Endpoint, silence: Silence, dev: User
):
    """The pass holds no lock of the database while it waits for an answer."""
    from scheduler.tests.conftest import run_cycle

    with in_a_thread(a_pass(dead.cluster)) as hanging:
        assert silence.asked.wait(GENEROUS_S)
        run_cycle(dead.cluster)
        assert hanging.is_alive()
        silence.hang_up()


def test_an_open_breaker_asks_nobody(healthy: Site, dead: Endpoint, silence: Silence):
    circuit_breaker.failed(dead.pk)
    with in_a_thread(a_pass(dead.cluster)):
        pass
    assert not silence.asked.is_set()
