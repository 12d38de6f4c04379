"""An S3 server to fetch from: moto's, as a process, and a relay before it with faults."""

import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import pytest

KEY_ID, KEY = "AKIDEXAMPLE", "quite-unlikely-secret-key"
BUCKET = "datasets"
START_S = 60.0


@dataclass(frozen=True, slots=True)
class S3:
    port: int
    client: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fill(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        self.client.create_bucket(Bucket=bucket)
        for key, content in objects.items():
            self.client.put_object(Bucket=bucket, Key=key, Body=content)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """With one bucket, BUCKET; others are of the tests that fill them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104 - containers reach it
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            client: Any = botocore.session.get_session().create_client(
                "s3",
                region_name="us-east-1",
                endpoint_url=f"http://127.0.0.1:{port}",
                aws_access_key_id=KEY_ID,
                aws_secret_access_key=KEY,
            )
            server = S3(port, client)
            _wait_for(port, process)
            server.fill(
                BUCKET,
                {"train/a.txt": b"a\n", "train/deep/b.bin": b"b" * 3_000_000, "other": b"o"},
            )
            yield server
        finally:
            process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + START_S
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=START_S)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError:
            assert process.poll() is None, "The S3 server has not started."
            assert time.monotonic() < give_up
            time.sleep(0.05)
        finally:
            connection.close()


Fault = Callable[["Relay", bytes], None]


@dataclass
class Faults:
    """What the relay does with the next requests, by the first letters of their targets."""

    url: str = ""
    next: deque[tuple[str, Fault]] = field(default_factory=deque)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # target, range
    signed: set[bool] = field(default_factory=set)

    def due(self, target: str) -> Fault | None:
        if self.next and target.startswith(self.next[0][0]):
            return self.next.popleft()[1]
        return None


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults
    port: int

    def do_GET(self) -> None:
        self.faults.asked.append((self.path, self.headers.get("Range")))
        self.faults.signed.add("Authorization" in self.headers)
        fault = self.faults.due(self.path)
        connection = HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("GET", self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if fault:
            fault(self, body)
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Writes nothing."""


def says(status: int, code: str, message: str = "") -> Fault:
    def fault(relay: Relay, _: bytes) -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        relay.send_response(status)
        relay.send_header("Content-Length", str(len(body)))
        relay.end_headers()
        relay.wfile.write(body)

    return fault


def breaks_off(relay: Relay, body: bytes) -> None:
    relay.send_response(200)
    relay.send_header("Content-Length", str(len(body)))
    relay.end_headers()
    relay.wfile.write(body[: len(body) // 2])
    relay.wfile.flush()
    relay.close_connection = True
    relay.connection.shutdown(2)


def sends_all(relay: Relay, body: bytes) -> None:
    """Whatever range was asked for; of an object that has one letter alone."""
    whole = body[:1] * 3_000_000
    relay.send_response(200)
    relay.send_header("Content-Length", str(len(whole)))
    relay.end_headers()
    relay.wfile.write(whole)


@contextmanager
def faulty(s3: S3) -> Iterator[Faults]:
    faults = Faults()
    handler = type("Handler", (Relay,), {"faults": faults, "port": s3.port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    faults.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
