"""Endpoints that mean harm: small servers on real sockets, which drip, hang, or never end."""

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    body: bytes = b""


Answer = Callable[[Request], Iterable[bytes]]
"""What is sent for a request, piece by piece; then the connection is closed."""

DRIP_S = 0.05


def whole(body: object, status: int = 200) -> Iterator[bytes]:
    """A sound answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    yield b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n" % (status, len(text))
    yield b"Content-Type: application/json\r\nConnection: close\r\n\r\n"
    yield text


def chunked(pieces: Iterable[bytes], *headers: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s\r\n" % each for each in headers)
    yield b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
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
        self.requests: list[Request] = []
        self.open = 0  # connections
        self._over, self._lock = Event(), Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._server.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{self.port}"
        Thread(target=self._listen, daemon=True).start()

    def asked(self, fragment: str) -> int:
        """How many requests had this in their path."""
        return sum(fragment in each.path for each in self.requests)

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
            for piece in self.answer(request):
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


def _request(client: socket.socket) -> Request:
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
    return Request(method.decode(), path.decode(), body)
