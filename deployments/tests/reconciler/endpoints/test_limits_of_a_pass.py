"""What one pass may cost, whatever its endpoints do: time, logs, circuit breakers."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from accounts.models import User
from clusters.models import Endpoint, Node
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentLog
from deployments.reconciler import circuit_breaker, garbage, loop, observation
from deployments.reconciler.loop import reconcile
from deployments.runtimes.docker import ends
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.runtimes.hostile import HostileServer, chunked, dripping, endless, whole
from deployments.tests.runtimes.hostile_docker import DockerEngine
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from scheduler import audit

pytestmark = pytest.mark.django_db

FRAME = b"\x01\x00\x00\x00\x00\x00\x00\x02x\n"


def frame(content: bytes) -> bytes:
    return b"\x01\x00\x00\x00" + len(content).to_bytes(4, "big") + content


class SocketTestbed(Testbed):
    """A testbed whose engines are small servers, and whose runtimes are real ones."""

    def __init__(self, organization: Organization, people: dict[str, User]) -> None:
        super().__init__(organization, people)
        self.engines: dict[str, DockerEngine] = {}
        self.servers: list[HostileServer] = []

    def add_node(self, name: str, **columns: Any) -> Node:
        node = super().add_node(name, **columns)
        self.engines[name] = DockerEngine()
        self.servers.append(HostileServer(self.engines[name]))
        Endpoint.objects.filter(nodes=node).update(url=self.servers[-1].url, trusted=True)
        return node

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint.objects.get(nodes__name=name)


@pytest.fixture
def sockets(db: None, org: Organization, dev: User) -> Iterator[SocketTestbed]:
    testbed = SocketTestbed(org, {"dev": dev})
    yield testbed
    with ExitStack() as closing:
        for each in testbed.servers:
            closing.callback(each.close)
        for endpoint in Endpoint.objects.all():
            closing.callback(runtime_connections.disconnect, endpoint.pk)
    assert audit.breaches() == []


def end_all(engine: DockerEngine) -> None:
    for name in engine.containers:
        engine.end(name, 0)


def pass_s(testbed: Testbed) -> float:
    begun = time.monotonic()
    reconcile(testbed.cluster.pk, ["*"], lambda *_: None)
    return time.monotonic() - begun


def run_one(testbed: SocketTestbed, node: str, **columns: Any) -> Deployment:
    testbed.add_node(node)
    testbed.reconcile()
    row = testbed.submit(gpu=0, **columns)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    return row


def test_a_log_that_drips_costs_seconds_and_opens_the_circuit_breaker_of_its_endpoint_alone(
    sockets: SocketTestbed, monkeypatch: pytest.MonkeyPatch
):
    row = run_one(sockets, "a")
    monkeypatch.setattr(garbage, "LOG_S", 1.0)
    sockets.add_node("b")
    sockets.reconcile()
    sockets.engines["a"].answers["/logs"] = lambda: chunked(dripping(FRAME))
    end_all(sockets.engines["a"])
    assert pass_s(sockets) < 4
    assert sockets.status(row) == "COMPLETED"
    assert circuit_breaker.is_open(sockets.endpoint("a").pk)
    assert not circuit_breaker.is_open(sockets.endpoint("b").pk)
    for _ in range(3):  # an answer to a list does not close what the logs keep open
        redis_client().delete(f"endpoint:{sockets.endpoint('a').pk}:open")
        pass_s(sockets)
    paused_ms = redis_client().pttl(f"endpoint:{sockets.endpoint('a').pk}:open")
    assert paused_ms > 8_000


def test_an_engine_that_does_not_say_what_ended_its_containers_is_asked_once_in_an_observation(
    sockets: SocketTestbed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ends, "ASK_S", 0.5)
    rows = [run_one(sockets, "a"), *(sockets.submit(gpu=0) for _ in range(3))]
    sockets.settle()
    sockets.engines["a"].answers["/events"] = lambda: chunked(dripping(b"\n"))
    end_all(sockets.engines["a"])
    pass_s(sockets)
    assert sockets.servers[0].asked("/events") == 1
    assert {sockets.status(row) for row in rows} == {"COMPLETED"}


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        (lambda: iter([frame(b"x" * 1000 + b"\n")] * 9000), b"x\n"),
        (lambda: endless(frame(b"x" * 100 + b"\n")), b"x\n"),
        (lambda: iter([frame(b"1\n2\n")]), b"1\n2\n"),
    ],
    ids=["9 MB", "endless", "short"],
)
def test_no_more_than_the_end_of_a_log_is_kept_of_any_length(sockets, pieces, end):
    row = run_one(sockets, "a")
    sockets.engines["a"].answers["/logs"] = lambda: chunked(pieces())
    end_all(sockets.engines["a"])
    pass_s(sockets)
    kept = bytes(DeploymentLog.objects.get(deployment=row).output)
    assert kept.endswith(end)
    assert len(kept) <= 256 * 1024
    assert sockets.engines["a"].containers == {}  # it was removed, as any other


def test_a_log_of_long_lines_is_kept_to_its_end(sockets: SocketTestbed):
    """Where the last 5000 lines are too many bytes, the last 200 are read."""
    row = run_one(sockets, "a")
    server = sockets.servers[0]

    def log() -> Iterator[bytes]:
        count = int(server.requests[-1].path.partition("tail=")[2].partition("&")[0])
        return chunked([frame(b"x" * 16_000 + b"\n")] * (count - 1) + [frame(b"the end\n")])

    sockets.engines["a"].answers["/logs"] = log
    end_all(sockets.engines["a"])
    pass_s(sockets)
    assert bytes(DeploymentLog.objects.get(deployment=row).output).endswith(b"\nthe end\n")


def slowly(seconds: float, answer: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
    def answered() -> Iterator[bytes]:
        time.sleep(seconds)
        yield from answer()

    return answered


def test_a_pass_ends_with_its_own_deadline_and_blames_no_endpoint_for_it(
    sockets: SocketTestbed, monkeypatch: pytest.MonkeyPatch
):
    """Each answer comes in time, and all of them together would take twenty times as long."""
    for name in "abcdefghij":
        sockets.add_node(name)
    sockets.reconcile()
    for engine in sockets.engines.values():
        engine.answers["/containers/json"] = slowly(1.0, lambda: whole([]))
    monkeypatch.setattr(loop, "PASS_S", 1.5)
    begun = time.monotonic()
    assert reconcile(sockets.cluster.pk, ["*"], lambda *_: None)  # another pass goes on
    assert time.monotonic() - begun < 4
    sockets.cluster.refresh_from_db()
    assert {node.observed for node in sockets.cluster.nodes.all()} == {"READY"}
    endpoints = [sockets.endpoint(name).pk for name in sockets.engines]
    assert not any(map(circuit_breaker.is_open, endpoints))
    assert circuit_breaker.are_doubtful(endpoints)


def test_an_endpoint_that_is_slow_in_each_answer_is_away_once_its_own_time_is_over(
    sockets: SocketTestbed, monkeypatch: pytest.MonkeyPatch
):
    row = run_one(sockets, "a")
    monkeypatch.setattr(observation, "ENDPOINT_S", 1.0)
    end_all(sockets.engines["a"])
    runtime_connections.disconnect(sockets.endpoint("a").pk)
    sockets.engines["a"].answers["/json"] = slowly(2.0, lambda: whole([]))
    assert pass_s(sockets) < 4
    assert circuit_breaker.is_open(sockets.endpoint("a").pk)
    assert sockets.cluster.nodes.get().observed == "NOT_READY"
    assert sockets.status(row) == "RUNNING"
