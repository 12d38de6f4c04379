"""Endpoints that report what no table can store, or more than any cluster has."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from clusters import node_images
from clusters.models import MAX_CPU_MILLI, MAX_RAM_MIB, Endpoint, Node, NodeImages
from clusters.models import Runtime as Kind
from clusters.services import node_status
from clusters.tests.allocation import make_cluster
from deployments import runtime_connections
from deployments.reconciler import circuit_breaker, node_reports
from deployments.reconciler.observation import EndpointView
from deployments.runtimes.base import AnswerTooLarge, Capacity, Key, Phase, ReplicaStatus
from deployments.tests.reconciler.testbed import Testbed, docker_runtimes_from, endpoint_of
from deployments.tests.runtimes.fake_runtime import FakeRuntime
from deployments.tests.runtimes.hostile import Request, hostile, whole
from deployments.tests.runtimes.kubernetes.cluster import runtime_at
from organizations.models import Organization

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)


@pytest.fixture
def api_server(org: Organization) -> Endpoint:
    nothing = {"total_cpu_milli": 0, "total_ram_mib": 0, "total_gpu": 0}
    cluster = make_cluster(org, name="kube", runtime=Kind.KUBERNETES, **nothing)
    return Endpoint.objects.create(cluster=cluster, url="https://a:6443")


def report(endpoint: Endpoint, *capacities: Capacity) -> None:
    view = EndpointView(endpoint, capacities=list(capacities))
    node_status.found_all(endpoint, node_reports._found(view))


def test_nodes_are_stored_as_far_as_a_table_can(api_server: Endpoint):
    labels: dict[str, Any] = {"zone": "a", "b\x00": "c", "d": "e\x00", "f": "g" * 10**6, "h": 3}
    labels |= {f"label-{number}": "" for number in range(10_000)}
    report(
        api_server,
        Capacity("node-1", 10**30, 10**30, 10**30, labels),
        Capacity("node-2", -(10**30), -1, -1),
        Capacity("node-2", 1000, 1024, 1),
        Capacity("x" * 1000, 1000, 1024, 1),
        Capacity("node\x00", 1000, 1024, 1),
        Capacity("", 1000, 1024, 1),
    )
    first, second = Node.objects.filter(endpoint=api_server).order_by("name")
    assert (first.name, first.cpu_milli, first.ram_mib) == ("node-1", MAX_CPU_MILLI, MAX_RAM_MIB)
    assert len(first.labels) == node_reports.MOST_LABELS
    assert first.labels["zone"] == "a"
    assert not {"b\x00", "d", "f", "h"} & first.labels.keys()
    assert (second.name, second.cpu_milli, second.gpu) == ("node-2", 1000, 1)


def test_thousands_of_nodes_come_and_go_in_a_few_queries(
    api_server: Endpoint, django_assert_max_num_queries: Callable[..., Any]
):
    nodes = [Capacity(f"node-{number}", 1000, 1024, 0) for number in range(2000)]
    with django_assert_max_num_queries(20):
        report(api_server, *nodes)
    assert api_server.nodes.count() == 2000
    node_images.write({pk: ["train:1"] for pk in api_server.nodes.values_list("pk", flat=True)})
    with django_assert_max_num_queries(20):
        report(api_server)
    assert (api_server.nodes.count(), NodeImages.objects.count()) == (0, 0)


def test_an_api_server_with_more_nodes_than_kubernetes_knows_is_unavailable():
    def answer(request: Request) -> Any:
        named = [{"metadata": {"name": f"n-{number}"}} for number in range(6000)]
        return whole({"items": named if "/nodes" in request.path else [], "metadata": {}})

    with hostile(answer) as server, pytest.raises(AnswerTooLarge, match="more than 5000 nodes"):
        runtime_at(f"http://127.0.0.1:{server.port}").capacity()


def test_replicas_that_no_table_can_store_are_not_seen(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    key = testbed.key(row)
    sound = ReplicaStatus(key, Phase.RUNNING, ready=True, started_at=NOW, node="a")
    stored = [
        replace(sound, key=Key("no id", 1, 0)),
        replace(sound, key=key._replace(attempt=10**12)),
        replace(sound, key=key._replace(replica=10**12), phase=Phase.ENDED),
        replace(sound, key=key._replace(replica=7), phase=Phase.ENDED, exit_code=10**30),
        replace(sound, key=key._replace(replica=8), started_at=NOW.replace(tzinfo=None)),
        sound,
    ]
    testbed.intercept(a, "observe", lambda *_: stored)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"


def test_a_sign_of_life_lets_an_endpoint_be_called_and_leaves_it_doubtful(
    testbed: Testbed, a: Node
):
    circuit_breaker.failed(endpoint_of(a))
    circuit_breaker.call_again(endpoint_of(a))
    assert not circuit_breaker.is_open(endpoint_of(a))
    assert circuit_breaker.are_doubtful([endpoint_of(a)])


def test_a_process_keeps_a_limited_number_of_connections(
    org: Organization, monkeypatch: pytest.MonkeyPatch
):
    closed: list[str] = []

    class Closing(FakeRuntime):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def close(self) -> None:
            closed.append(self.name)

    monkeypatch.setattr(runtime_connections, "_open", {})
    monkeypatch.setattr(runtime_connections, "MOST_OPEN", 2)
    cluster = make_cluster(org, name="engines", runtime=Kind.DOCKER)
    endpoints = [Endpoint.objects.create(cluster=cluster, url=f"tcp://{name}:1") for name in "abc"]
    with docker_runtimes_from(lambda _, endpoint, *__: Closing(endpoint.url[6])):
        first = runtime_connections.connect(cluster, endpoints[0], "a")
        runtime_connections.connect(cluster, endpoints[1], "b")
        assert runtime_connections.connect(cluster, endpoints[0], "a") is first
        runtime_connections.connect(cluster, endpoints[2], "c")
    assert closed == ["b"]  # the one that was not used for longest
