"""Endpoints that mean harm: small servers on real sockets, which drip, hang, or never end."""

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any

Answer = Callable[[str, str], Iterable[bytes]]
"""From the method and the path to what is sent, piece by piece; then the connection is closed."""

DRIP_S = 0.05


def whole(body: object, status: int = 200) -> Iterator[bytes]:
    """A sound answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    yield b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n" % (status, len(text))
    yield b"Content-Type: application/json\r\nConnection: close\r\n\r\n"
    yield text


def chunked(pieces: Iterable[bytes], *headers: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s\r\n" % each for each in headers)
    yield b"Transfer-Encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def dripping(piece: bytes = b" ", every_s: float = DRIP_S) -> Iterator[bytes]:
    """The same few bytes now and then, without end."""
    while True:
        yield piece
        time.sleep(every_s)


def endless(piece: bytes) -> Iterator[bytes]:
    """The same bytes as fast as they are read."""
    many = piece * (64 * 1024 // len(piece) + 1)
    while True:
        yield many


class HostileServer:
    """Answers each request on a connection of its own, as `answer` says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[str, str]] = []
        self.open = 0  # connections
        self._over, self._lock = Event(), Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._server.getsockname()[1]
        Thread(target=self._listen, daemon=True).start()

    def asked(self, fragment: str) -> int:
        """How many requests had this in their path."""
        return sum(fragment in path for _, path in self.requests)

    def close(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._count(1)
        with client, suppress(OSError, ValueError):
            request = _request(client)
            self.requests.append(request)
            for piece in self.answer(*request):
                if self._over.is_set():
                    break
                client.sendall(piece)
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.open += change


@contextmanager
def hostile(answer: Answer) -> Iterator[HostileServer]:
    server = HostileServer(answer)
    try:
        yield server
    finally:
        server.close()


def _request(client: socket.socket) -> tuple[str, str]:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            raise ValueError("The client has left.")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    method, path, *_ = head.split()
    for line in head.splitlines():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += client.recv(65536)
    return method.decode(), path.decode()


VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}
INFO = {"NCPU": 4, "MemTotal": 8 * 1024**3, "Architecture": "x86_64", "OSType": "linux"}


def engine(answer: Callable[[str, str], Iterable[bytes] | None]) -> Answer:
    """A Docker engine that is sound where `answer` has none of its own."""

    def answered(method: str, path: str) -> Iterable[bytes]:
        own = answer(method, path)
        if own is not None:
            return own
        if "/version" in path:
            return whole(VERSION)
        if "/info" in path:
            return whole(INFO)
        if "/containers/json" in path:
            return whole([])
        if "/events" in path:
            return chunked(dripping(b"\n", 0.5))
        return whole({"message": "No such container"}, 404)

    return answered


class DockerEngine:
    """An engine in memory whose containers say what a test lets them say: `state` of all of them.

    `answer` replaces what it answers, by a fragment of the path.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"Status": "running", "Running": True}
        self.names: dict[str, dict[str, str]] = {}
        self.answers: dict[str, Callable[[], Iterable[bytes]]] = {}

    def __call__(self, method: str, path: str) -> Iterable[bytes]:
        for fragment, answer in self.answers.items():
            if fragment in path:
                return answer()
        return engine(self._sound)(method, path)

    def _sound(self, method: str, path: str) -> Iterable[bytes] | None:
        if "/containers/create" in path:
            name = path.partition("name=")[2].partition("&")[0]
            self.names[name] = {}
            return whole({"Id": name}, 201)
        return None
