"""A Docker engine over TCP: certificates of both sides, forbidden addresses, and bad servers."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from deployments.runtimes.base import Access, AccessDenied, RuntimeUnavailable
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.certificates import Authority
from deployments.tests.runtimes.docker.engine import DockerEngine, TlsAccess, give_up
from deployments.tests.runtimes.harness import ended, key_of


@pytest.fixture
def tls(docker_engine: DockerEngine) -> TlsAccess:
    if docker_engine.tls is None:
        give_up("DOCKER_HOST is tried as it is; TLS wants an engine of the tests' own.")
        raise AssertionError
    return docker_engine.tls


def connected(access: Access, timeout_s: float = 10, **options: Any) -> DockerRuntime:
    return DockerRuntime(access, cluster_id="ours", node="node-1", timeout_s=timeout_s, **options)


@pytest.mark.docker
def test_a_life_goes_as_it_does_over_the_socket(busybox, tls):
    runtime = connected(Access(tls.url, tls.authority.pem, tls.client.cert, tls.client.key))
    spec = busybox.launch_spec(busybox.says_three_lines())
    runtime.start(spec)
    assert b"".join(runtime.logs(key_of(spec), follow=True)) == b"one\ntwo\nthree\n"
    assert ended(runtime, spec).exit_code == 0
    runtime.remove(key_of(spec))
    runtime.close()


@pytest.mark.docker
def test_an_engine_with_a_certificate_of_another_authority_is_not_trusted(tls):
    other = Authority("another authority")
    access = Access(tls.url, other.pem, tls.client.cert, tls.client.key)
    with pytest.raises(RuntimeUnavailable, match="certificate verify failed"):
        connected(access).observe()


@pytest.mark.docker
def test_an_engine_with_a_self_signed_certificate_is_not_trusted_by_default(tls):
    access = Access(tls.url, "", tls.client.cert, tls.client.key)
    with pytest.raises(RuntimeUnavailable, match="certificate verify failed"):
        connected(access).observe()


@pytest.mark.docker
def test_an_engine_under_another_name_is_not_trusted(tls):
    url = tls.url.replace("127.0.0.1", "localhost")
    access = Access(url, tls.authority.pem, tls.client.cert, tls.client.key)
    with pytest.raises(RuntimeUnavailable):
        connected(access).observe()


@pytest.mark.docker
def test_a_client_without_a_certificate_is_rejected(tls):
    with pytest.raises(RuntimeUnavailable, match="certificate"):
        connected(Access(tls.url, tls.authority.pem)).observe()


@pytest.mark.docker
def test_a_client_with_a_certificate_of_another_authority_is_rejected(tls):
    other = Authority("another authority").pair("other")
    access = Access(tls.url, tls.authority.pem, other.cert, other.key)
    with pytest.raises(AccessDenied):
        connected(access).observe()


@pytest.mark.docker
def test_an_expired_certificate_is_refused_by_an_engine_that_is_there(tls):
    expired = tls.authority.pair("client", timedelta(minutes=-1))
    access = Access(tls.url, tls.authority.pem, expired.cert, expired.key)
    for _ in range(3):
        with pytest.raises(AccessDenied, match="certificate"):
            connected(access).observe()


@pytest.mark.parametrize(
    ("answer", "denied"),
    [(b"401 Unauthorized", True), (b"403 Forbidden", True), (b"502 Bad Gateway", False)],
)
def test_a_server_that_does_not_let_the_platform_in_is_there(answer, denied):
    with (
        listener(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % answer) as server,
        pytest.raises(RuntimeUnavailable) as raised,
    ):
        connected(Access(server.url), timeout_s=2).observe()
    assert isinstance(raised.value, AccessDenied) == denied


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:1", "tcp://nowhere.invalid:1"])
def test_an_engine_of_which_nothing_is_heard_has_refused_nothing(url):
    with pytest.raises(RuntimeUnavailable) as raised:
        connected(Access(url, Authority("any").pem), timeout_s=2).observe()
    assert not isinstance(raised.value, AccessDenied)


def test_a_handshake_that_is_cut_is_no_refusal():
    with listener() as server:
        server.hangs_up = True
        with pytest.raises(RuntimeUnavailable) as raised:
            connected(Access(server.url, Authority("any").pem), timeout_s=2).observe()
    assert not isinstance(raised.value, AccessDenied)


@pytest.mark.parametrize(
    "access",
    [
        Access("tcp://127.0.0.1:1", ca="no PEM"),
        Access("tcp://127.0.0.1:1", cert="no PEM", key="no PEM"),
        Access("https://127.0.0.1:1"),
        Access("tcp://"),
        Access("unix://host/path"),
        Access("ssh://"),
        Access("ssh://-oProxyCommand=touch/run"),
        Access("file:///etc/passwd"),
        Access(""),
        Access("tcp://127.0.0.1:1"),
        Access("tcp://127.0.0.1:99999"),
        Access("tcp://nowhere.invalid:1"),
    ],
    ids=lambda access: access.url,
)
def test_an_endpoint_with_unusable_access_is_unavailable(access):
    with pytest.raises(RuntimeUnavailable) as raised:
        connected(access, timeout_s=2).observe()
    assert str(raised.value)
    assert "\n" not in str(raised.value)


class Listener:
    """A server that accepts connections, records what it receives, and sends a fixed answer."""

    def __init__(self, answer: bytes = b"", drip: bytes = b"") -> None:
        self.received = b""
        self.connections = 0
        self.hangs_up = False  # after the first bytes of a client
        self._answer = answer
        self._drip = drip  # after the answer, again and again
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while received := connection.recv(4096):
                    self.received += received
                    if self.hangs_up:
                        break
                    if self._answer and b"\r\n\r\n" in self.received:
                        self._send_answer(connection)
                        break

    def _send_answer(self, connection: socket.socket) -> None:
        connection.sendall(self._answer)
        with suppress(OSError):  # the client has gone
            while self._drip:
                connection.sendall(self._drip)
                time.sleep(0.05)

    def close(self) -> None:
        self._server.close()


@contextmanager
def listener(answer: bytes = b"", drip: bytes = b"") -> Iterator[Listener]:
    server = Listener(answer, drip)
    try:
        yield server
    finally:
        server.close()


@pytest.mark.parametrize("ca", ["", Authority("any").pem], ids=["plain", "TLS"])
def test_nothing_is_sent_to_a_forbidden_address(ca):
    judged: list[str] = []

    def guard(address: str) -> str:
        judged.append(address)
        return "No connection may go there."

    with listener() as server:
        with pytest.raises(RuntimeUnavailable, match="No connection may go there"):
            connected(Access(server.url, ca, guard=guard)).observe()
        assert judged == ["127.0.0.1"]
        assert server.received == b""


def test_a_silent_engine_is_unavailable_after_a_while():
    with listener() as server:
        with pytest.raises(RuntimeUnavailable, match="timed out"):
            connected(Access(server.url), timeout_s=0.2).observe()
        assert server.connections == 1


def test_an_engine_that_hangs_up_is_unavailable():
    with listener(b"\r\n") as server, pytest.raises(RuntimeUnavailable):
        connected(Access(server.url), timeout_s=2).observe()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"ApiVersion":"x"}',
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n[]",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_a_server_that_is_no_engine_is_unavailable(answer):
    with listener(answer) as server, pytest.raises(RuntimeUnavailable):
        connected(Access(server.url), timeout_s=2).observe()


def test_an_engine_that_answers_without_end_is_unavailable():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b" " * 5000
    with listener(answer) as server, pytest.raises(RuntimeUnavailable, match="more than 1000"):
        connected(Access(server.url), timeout_s=2, largest_answer=1000).observe()


def test_an_engine_that_answers_bit_by_bit_is_unavailable_after_a_while():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    with listener(head, drip=b" ") as server, pytest.raises(RuntimeUnavailable, match="timed out"):
        connected(Access(server.url), timeout_s=0.2).observe()


def test_redirects_are_not_followed():
    with listener() as elsewhere:
        location = elsewhere.url.replace("tcp", "http").encode()
        answer = b"HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % location
        with listener(answer) as server, pytest.raises(RuntimeUnavailable):
            connected(Access(server.url), timeout_s=2).observe()
        assert elsewhere.connections == 0


def test_no_proxy_of_this_machine_is_used(monkeypatch):
    with listener() as proxy, listener() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.replace("tcp", "http"))
        with pytest.raises(RuntimeUnavailable):
            connected(Access(server.url), timeout_s=0.2).observe()
        assert (proxy.connections, server.connections) == (0, 1)
