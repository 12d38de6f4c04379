"""Requests to a real server, each on a connection of its own."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User

QUICK_S = 3.0
"""So long may an answer take on a busy machine."""


class Answered(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def bearer(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}"}


def ask(
    server: str,
    path: str,
    user: User | None = None,
    *,
    method: str = "GET",
    body: bytes | None = None,
    timeout_s: float = 60,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answered:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=timeout_s)
    try:
        given = {**(bearer(user) if user else {}), **headers}
        connection.request(method, path, body=body, headers=given)
        answer = connection.getresponse()
        return Answered(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def assert_quick(server: str, user: User) -> None:
    """Another user gets an answer at once, and so does the liveness probe."""
    for path, who in (("/healthz", None), ("/api/orgs/my", user)):
        began = time.monotonic()
        assert ask(server, path, who, timeout_s=QUICK_S).status == 200, path
        assert time.monotonic() - began < QUICK_S, path


def connect(server: str, sent: bytes = b"") -> socket.socket:
    address = urlsplit(server)
    raw = socket.create_connection((address.hostname, address.port), timeout=60)
    raw.sendall(sent)
    return raw


def request(
    path: str,
    user: User | None = None,
    method: str = "GET",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Its head; the connection is closed after the answer, unless `headers` say otherwise."""
    given = {
        "Host": "localhost",
        "Connection": "close",
        **(bearer(user) if user else {}),
        **headers,
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def received(raw: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    found = b""
    try:
        while piece := raw.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def eventually(what: Callable[[], bool], within_s: float = 10) -> None:
    until = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)
