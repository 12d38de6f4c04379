"""The head of a request, and the answer to it."""

import time
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from mlops_platform.api.throttling.addresses import client_address


class Head(NamedTuple):
    """The head of a request, headers by lower-case name; several of one name are joined."""

    scope: dict[str, Any]
    began: float
    method: str
    path: str
    """Each character is one byte, as WSGI wants it."""
    headers: dict[str, str]
    address: str


def read_head(scope: dict[str, Any]) -> Head:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ",") + value
        headers[name] = value
    peer = scope["client"][0] if scope.get("client") else ""
    return Head(
        scope,
        time.perf_counter(),
        scope["method"],
        unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        headers,
        client_address(peer, headers.get("x-forwarded-for", "")),
    )


class Answer(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: list[bytes]
