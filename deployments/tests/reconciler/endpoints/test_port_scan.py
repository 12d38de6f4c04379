"""A tenant who attaches addresses of a private network does not learn what listens there."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from clusters.endpoints import address_policy, attachment
from clusters.endpoints.error_texts import NO_ANSWER, NOT_YET
from clusters.models import Endpoint, Runtime
from clusters.tests.allocation import make_cluster
from clusters.tests.attached import NOTHING
from clusters.tests.endpoints.pki import pem
from deployments import runtime_connections
from deployments.reconciler import loop
from deployments.wakeup import EVERYTHING

Talk = Callable[[socket.socket], None]


def hangs_up(client: socket.socket) -> None:
    client.close()


def speaks_ssh(client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    client.close()


def speaks_http(client: socket.socket) -> None:
    client.recv(1000)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    client.close()


def has_another_certificate(client: socket.socket, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem")
    with suppress(OSError):
        context.wrap_socket(client, server_side=True)
    client.close()


def listen(stack: ExitStack, talk: Talk) -> int:
    """A server on a port of its own, which has this conversation with every client."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port: int = server.getsockname()[1]

    def serve() -> None:
        with suppress(OSError):
            while True:
                talk(server.accept()[0])

    threading.Thread(target=serve, daemon=True).start()
    return port


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[list[int]]:
    """Nothing listens at the last one."""
    other = pem("another")
    (tmp_path / "cert.pem").write_text(other.cert + other.key)
    with ExitStack() as stack:
        talks: list[Talk] = [
            hangs_up,
            speaks_ssh,
            speaks_http,
            lambda client: has_another_certificate(client, tmp_path),
        ]
        ports = [listen(stack, talk) for talk in talks]
        closed = socket.create_server(("127.0.0.1", 0))
        ports.append(closed.getsockname()[1])
        closed.close()
        yield ports


@pytest.fixture
def _private_network(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """127.0.0.1 stands for machines in a private network, which tenants may attach."""
    for module in (address_policy, attachment):
        monkeypatch.setattr(module, "refusal", lambda address: None)
    yield
    for endpoint in Endpoint.objects.all():
        runtime_connections.disconnect(endpoint.pk)


@pytest.mark.usefixtures("_private_network")
def test_whatever_listens_there_or_does_not_the_answers_are_the_same(api, ada, org, vera, ports):
    cluster = make_cluster(org, name="scan", runtime=Runtime.DOCKER, **NOTHING)
    path = f"/api/clusters/{cluster.pk}/nodes"
    for number, port in enumerate(ports):
        endpoint = pem().body(url=f"tcp://127.0.0.1:{port}")
        answer = api(ada).post(path, {"name": f"node-{number}", "endpoint": endpoint})
        assert answer.status_code == 201, answer.content

    def shown() -> list[tuple[object, ...]]:
        return [
            (node["state"], node["endpoint"]["seen_at"], node["endpoint"]["error"])
            for node in api(ada).get(path).json()
        ]

    same = [("NOT_READY", None, NOT_YET)] * len(ports)
    assert shown() == same  # from the beginning, so that no time tells anything either
    loop.reconcile(cluster.pk, {EVERYTHING}, lambda *_: None)
    assert len(set(Endpoint.objects.values_list("error", flat=True))) >= 3  # operators see these
    assert shown() == same


@pytest.mark.parametrize("error", ["connection refused", "timed out", "HTTP status 403: secret"])
def test_an_engine_that_went_away_says_no_more_than_that(api, vera, kube, error):
    """The name in its address may lead elsewhere by now."""
    endpoint = Endpoint.objects.get()
    path = f"/api/clusters/{kube.pk}"
    Endpoint.objects.update(seen_at="2026-03-01T09:00:00Z", error=error)
    assert api(vera).get(path).json()["endpoint"]["error"] == NO_ANSWER
    Endpoint.objects.update(error="")
    assert api(vera).get(path).json()["endpoint"]["error"] is None
    Endpoint.objects.filter(pk=endpoint.pk).update(trusted=True, error=error)
    assert api(vera).get(path).json()["endpoint"]["error"] == error  # an operator attached it


def test_what_the_platform_itself_found_is_said(api, vera, kube):
    for error in (
        "This engine is attached already, as node-1. A machine that was cloned needs an engine ID "
        "of its own.",
        "Credentials cannot be opened: none of CREDENTIALS_KEYS sealed them. Add the key that did, "
        "or attach again.",
    ):
        Endpoint.objects.update(error=error)
        shown = api(vera).get(f"/api/clusters/{kube.pk}").json()
        assert shown["endpoint"]["error"] == error
