"""Connections to the API server: to no other server, with the right credentials, within limits."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deployments.runtimes.base import Access, RuntimeUnavailable
from deployments.tests.runtimes.kubernetes.cluster import KEY, launch_spec, runtime_at

PODS = b'{"items": [], "metadata": {}}'


Asked = tuple[str, str | None, object]  # path, authorization, and the certificate's subject


class Answer(BaseHTTPRequestHandler):
    """A server that answers every request alike, and records it."""

    status, body, headers_sent = 200, PODS, {"Content-Type": "application/json"}

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, self.headers.get("Authorization"), self._peer()))  # type: ignore[attr-defined]  # ours
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def _peer(self) -> object:
        shown = self.connection.getpeercert() if hasattr(self.connection, "getpeercert") else None
        return dict(field[0] for field in shown["subject"]) if shown else None

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(
    context: ssl.SSLContext | None = None, **answer: object
) -> Iterator[tuple[str, list[Asked]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answer,), answer))
    server.asked = []  # type: ignore[attr-defined]  # ours
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    scheme = "https" if context else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]  # ours
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Authority:
    """An authority whose certificates are valid for a day."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        certificate = self._certificate(self._name, self._key.public_key(), authority=True)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str) -> tuple[str, str]:
        """A certificate for 127.0.0.1, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(subject, key.public_key())
        return (
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )

    def _certificate(self, subject, public_key, authority=False) -> x509.Certificate:
        now = datetime.now(UTC)
        address = x509.IPAddress(ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def https(authority, tmp_path) -> ssl.SSLContext:
    """The server's TLS context, which requires a client certificate of the same authority."""
    for name, text in zip(("cert", "key"), authority.issue("server"), strict=True):
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def observe(url, **access):
    runtime = runtime_at(url, access=Access(url=url, **access), timeout_s=2.0)
    try:
        return runtime.observe()
    finally:
        runtime.close()


def test_the_bearer_token_is_sent():
    with answering() as (url, asked):
        observe(f"{url}/", token="a-token\n")
    [(path, authorization, _)] = asked
    assert path.startswith("/api/v1/namespaces/mlops/pods?")
    assert authorization == "Bearer a-token"


def test_the_path_of_a_gateway_is_kept():
    with answering() as (url, asked):
        observe(f"{url}/k8s/clusters/c-1/")
    assert asked[0][0].startswith("/k8s/clusters/c-1/api/v1/")


def test_certificates_are_checked_and_presented_from_memory(authority, https):
    cert, key = authority.issue("platform")
    with answering(https) as (url, asked):
        assert observe(url, ca=authority.pem, cert=cert, key=key) == []
        assert observe(url, ca=authority.pem, cert=cert, key=key, guard=lambda address: None) == []
    assert [peer for _, _, peer in asked] == [{"commonName": "platform"}] * 2


def test_a_server_with_another_certificate_gets_nothing(https):
    with answering(https) as (url, asked):
        with pytest.raises(RuntimeUnavailable, match="certificate verify failed"):
            observe(url, ca=Authority().pem, token="a-token")
        with pytest.raises(RuntimeUnavailable, match="certificate verify failed"):
            observe(url, token="a-token")
    assert asked == []


def test_an_invalid_certificate_is_reported_without_quoting_it(authority):
    for access in ({"ca": "secret"}, {"ca": authority.pem, "cert": "secret", "key": "secret"}):
        with pytest.raises(RuntimeUnavailable, match="no PEM") as caught:
            observe("https://127.0.0.1:1", **access)
        assert "secret" not in str(caught.value)


def test_nothing_is_sent_to_a_forbidden_address():
    refused = pytest.raises(RuntimeUnavailable, match=r"^127\.0\.0\.1 is our own$")
    with answering() as (url, asked), refused:
        observe(url, guard=lambda address: f"{address} is our own", token="a-token")
    assert asked == []
    with answering() as (url, asked):
        assert observe(url, guard=lambda address: None) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status):
    with answering() as (elsewhere, asked):
        away = {"status": status, "headers_sent": {"Location": f"{elsewhere}/x"}}
        with answering(**away) as (url, _), pytest.raises(RuntimeUnavailable, match=str(status)):
            observe(url, token="a-token")
    assert asked == []


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with answering() as (url, asked):
        assert observe(url) == []
    assert len(asked) == 1


def test_a_server_that_refuses_connections_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(RuntimeUnavailable, match="refused"):
        observe(f"http://127.0.0.1:{port}")


def test_a_server_that_never_answers_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        runtime = runtime_at(url, timeout_s=0.2)
        calls: list[Callable[[], object]] = [
            lambda: runtime.start(launch_spec()),
            lambda: runtime.stop(KEY, 30),
            lambda: runtime.remove(KEY),
            runtime.observe,
            runtime.capacity,
            lambda: runtime.logs(KEY),
            lambda: list(runtime.watch(threading.Event())),
        ]
        for call in calls:
            with pytest.raises(RuntimeUnavailable, match="in time"):
                call()


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b"\xff", b""])
def test_a_server_that_is_no_api_server_is_unavailable(body):
    with answering(body=body) as (url, _), pytest.raises(RuntimeUnavailable, match="no Kubernetes"):
        observe(url)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_errors_have_the_servers_message(status):
    said = b'{"kind": "Status", "reason": "X", "message": "it is\\n so"}'
    for body, expected in ((said, "it is so"), (b"<h1>Bad</h1>\n", "<h1>Bad</h1>")):
        raised = pytest.raises(RuntimeUnavailable, match=expected)
        with answering(status=status, body=body) as (url, _), raised:
            observe(url)


def test_no_secret_is_in_an_error_or_a_log(caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RuntimeUnavailable) as caught:
        observe("http://127.0.0.1:1", token="top\nsecret")
    assert "secret" not in str(caught.value)
    with answering() as (url, _):
        observe(url, token="topsecret")
    assert "topsecret" not in caplog.text
    assert "secret" not in repr(Access(url="u", token="secret", key="secret"))
