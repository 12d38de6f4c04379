"""Endpoints that drip, hang, or never end cost a bounded time and a bounded memory."""

import gzip
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest

from deployments.runtimes import limits
from deployments.runtimes.base import (
    Access,
    AnswerTooLarge,
    Key,
    LimitExceeded,
    OutOfTime,
    Runtime,
    RuntimeUnavailable,
)
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.hostile import (
    HostileServer,
    Request,
    chunked,
    dripping,
    endless,
    hostile,
    whole,
)
from deployments.tests.runtimes.hostile_docker import engine

TIMEOUT_S = 0.4
GENEROUS_S = 3.0
MIB = 1024 * 1024
KEY = Key("0190bbbb-0000-7000-8000-000000000001", 1, 0)
FRAME = b"\x01\x00\x00\x00\x00\x00\x00\x50" + b"x" * 79 + b"\n"
BOMB = gzip.compress(b" " * 60 * MIB)


def docker_at(server: HostileServer, cluster_id: str = "ours") -> DockerRuntime:
    access = Access(server.url)
    return DockerRuntime(access, cluster_id=cluster_id, node="n", timeout_s=TIMEOUT_S)


def kubernetes_at(server: HostileServer) -> Runtime:
    from deployments.tests.runtimes.kubernetes.cluster import runtime_at

    return runtime_at(f"http://127.0.0.1:{server.port}", timeout_s=TIMEOUT_S)


RUNTIMES: dict[str, Callable[[HostileServer], Any]] = {
    "docker": docker_at,
    "kubernetes": kubernetes_at,
}


@pytest.fixture(params=RUNTIMES)
def connected(request: pytest.FixtureRequest) -> Callable[[HostileServer], Any]:
    return RUNTIMES[request.param]


@contextmanager
def soon(within_s: float = GENEROUS_S) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < within_s


def head(*lines: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s\r\n" % line for line in lines)


def listing(answer: Callable[[], Iterable[bytes]]) -> Callable[[Request], Iterable[bytes]]:
    """An endpoint that answers lists so, and is a sound engine otherwise."""

    def answered(request: Request) -> Iterable[bytes] | None:
        path = request.path
        return answer() if "/containers/json" in path or "/pods" in path else None

    return engine(answered)


def followed(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


DRIPS: dict[str, Callable[[], Iterable[bytes]]] = {
    "status": lambda: dripping(b"H"),
    "headers": lambda: followed(head(), dripping(b"a")),
    "many headers": lambda: followed(head(), dripping(b"A: b\r\n")),
    "continue": lambda: dripping(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": lambda: followed(head(b"Content-Length: 5000", b""), dripping()),
    "chunks": lambda: chunked(dripping()),
    "a chunk's size": lambda: followed(head(b"Transfer-Encoding: chunked", b""), dripping(b"0")),
    "trailers": lambda: followed(
        head(b"Transfer-Encoding: chunked", b""), followed(b"0\r\n", dripping(b"A: b\r\n"))
    ),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_an_answer_that_drips_ends_with_the_conversations_time(connected, drip):
    with hostile(listing(DRIPS[drip])) as server, soon(), pytest.raises(RuntimeUnavailable):
        connected(server).observe()


FLOODS: dict[str, Callable[[], Iterable[bytes]]] = {
    "status": lambda: endless(b"H"),
    "a header": lambda: followed(head(), endless(b"a")),
    "continue": lambda: endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": lambda: followed(head(b"Content-Length: 9999999999", b""), endless(b" ")),
    "until the end": lambda: followed(head(b""), endless(b" ")),
    "chunks": lambda: chunked(endless(b" ")),
    "a chunk's size": lambda: followed(head(b"Transfer-Encoding: chunked", b""), endless(b"0")),
    "60 MiB of containers": lambda: whole([{"Id": "x" * 100, "Labels": {}}] * 500_000),
    "4 MiB of nothing": lambda: whole(b"[" + b"{}," * (MIB - 2) + b"{}]"),
    "crumbs": lambda: chunked(b" " for _ in range(10**6)),
    "compressed": lambda: chunked([BOMB], b"Content-Encoding: gzip"),
    "deep": lambda: whole(b"[" * 100_000 + b"]" * 100_000),
    "an infinite number": lambda: whole(b'{"items": [{"metadata": Infinity}]}'),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_an_answer_that_floods_is_refused_before_it_fills_the_memory(connected, flood):
    with hostile(listing(FLOODS[flood])) as server:
        runtime = connected(server)
        pieces = list(FLOODS[flood]()) if "MiB" in flood else None  # made before it is measured
        if pieces:
            server.answer = listing(lambda: pieces)
        tracemalloc.start()
        try:
            with soon(3 * GENEROUS_S), pytest.raises(RuntimeUnavailable):
                runtime.observe()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 48 * MIB


def test_a_handshake_of_tls_that_hangs_ends_with_the_conversations_time():
    with hostile(lambda *_: dripping(b"\x16")) as server, soon():
        access = Access(server.url, ca=_authority())
        runtime = DockerRuntime(access, cluster_id="ours", node="n", timeout_s=TIMEOUT_S)
        with pytest.raises(RuntimeUnavailable):
            runtime.observe()


def _authority() -> str:
    from deployments.tests.runtimes.certificates import Authority

    return Authority("any").pem


def test_a_list_of_large_objects_is_read_in_smaller_pages():
    """A page of 4 MiB and more is too large, one of a few objects is not."""
    asked: list[int] = []

    def pods(request: Request) -> Iterable[bytes]:
        limit = int(request.path.partition("limit=")[2].partition("&")[0])
        asked.append(limit)
        pod = {"metadata": {"labels": {}, "annotations": {"x": "y" * 40_000}}, "spec": {}}
        return whole({"items": [pod] * limit, "metadata": {}})

    with hostile(pods) as server:
        assert kubernetes_at(server).observe() == []
    assert asked == [200, 50]


def test_an_engine_with_more_containers_than_any_has_is_unavailable():
    listed = [{"Id": "c", "State": "running", "Labels": {}}] * 6000
    with hostile(listing(lambda: whole(listed))) as server, soon():
        runtime = docker_at(server)
        with pytest.raises(AnswerTooLarge, match="more than 5000 containers"):
            runtime.observe()
        assert server.asked("/json") == 1


def of_log(pieces: Callable[[], Iterable[bytes]]) -> Callable[[Request], Iterable[bytes]]:
    """An endpoint with one replica, whose log is this."""
    labels = {"cluster": "ours", "deployment": KEY[0], "attempt": "1", "replica": "0"}
    container = {
        "Id": "c1",
        "State": {"Status": "exited"},
        "Config": {"Labels": {f"mlops-platform.{name}": value for name, value in labels.items()}},
    }
    from deployments.tests.runtimes.kubernetes.cluster import CLUSTER

    labels["cluster"] = CLUSTER
    pod = {"metadata": {"labels": {f"mlops-platform/{name}": of for name, of in labels.items()}}}

    def answered(request: Request) -> Iterable[bytes] | None:
        path = request.path
        if "/logs" in path or path.partition("?")[0].endswith("/log"):
            return chunked(pieces())
        return whole({**container, **pod}) if "mlops-" in path else None

    return engine(answered)


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_drips_ends_when_its_time_is_over(connected, follow):
    with hostile(of_log(lambda: dripping(FRAME))) as server, soon():
        log = connected(server).logs(KEY, follow=follow, within_s=1.0)
        read = []
        with pytest.raises(LimitExceeded, match="timed out"):
            read.extend(log)
        assert b"x\n" in b"".join(read)


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_floods_ends_at_its_limit(connected, follow):
    with hostile(of_log(lambda: endless(FRAME))) as server, soon():
        log = connected(server).logs(KEY, follow=follow, within_s=30.0, most_bytes=256 * 1024)
        read = []
        with pytest.raises(AnswerTooLarge, match="more than 262144 bytes"):
            read.extend(log)
        assert 100_000 < len(b"".join(read)) <= 256 * 1024


def test_calls_together_end_with_the_time_of_their_block(connected):
    """The block's own deadline blames an endpoint only where the block is about that endpoint."""
    with hostile(listing(DRIPS["body"])) as server:
        for by_endpoint, error in ((True, LimitExceeded), (False, OutOfTime)):
            with soon(1.0), limits.within(0.2, by_endpoint=by_endpoint):
                for _ in range(20):
                    with pytest.raises(error):
                        connected(server).observe()
                assert limits.is_over()
    assert not limits.is_over()


def test_several_callers_of_a_silent_engine_do_not_wait_for_each_other():
    with hostile(lambda *_: dripping(b"")) as server, soon():
        runtime = docker_at(server)

        def observe() -> None:
            with pytest.raises(RuntimeUnavailable):
                runtime.observe()

        threads = [Thread(target=observe) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()


# --- Pulls ---------------------------------------------------------------------------------------


def pulling(reports: Callable[[], Iterable[bytes]]) -> Callable[[Request], Iterable[bytes]]:
    return engine(lambda each: chunked(reports()) if "/images/create" in each.path else None)


@pytest.mark.parametrize("every_s", [0.1, 60.0])
def test_a_pull_ends_and_its_connection_is_closed_once_it_is_not_wanted(every_s):
    wanted = Event()
    wanted.set()
    with hostile(pulling(lambda: dripping(b'{"status": "Waiting"}\n', every_s))) as server:
        runtime = docker_at(server)
        pull = Thread(target=lambda: runtime.pull("train:1", wanted.is_set))
        pull.start()
        pull.join(1.5)
        assert pull.is_alive()
        wanted.clear()
        pull.join(GENEROUS_S)
        assert not pull.is_alive()
        if every_s < 1:  # else the server notices with the next report
            _until(lambda: server.open == 0)


def test_a_pull_that_floods_reports_waits_instead_of_the_worker():
    begun = time.process_time()
    until = time.monotonic() + 2
    with hostile(pulling(lambda: endless(b"{}\n"))) as server:
        docker_at(server).pull("train:1", lambda: time.monotonic() < until)
    assert time.process_time() - begun < 1.5


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
