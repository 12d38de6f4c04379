"""Runs Django, a WSGI application, for one whole request."""

import sys
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from mlops_platform.api import tenant
from mlops_platform.api.answers.streams import ON_LOOP, PushedStream, Stream, StreamResponse
from mlops_platform.api.throttling.addresses import CLIENT
from mlops_platform.web.messages import Answer, Head

LOOPBACK = ("127.0.0.1", "::1")
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Result(NamedTuple):
    """Django's answer; with a stream, the answer's body is still to come from it."""

    answer: Answer
    stream: Stream | PushedStream | None = None
    facts: Mapping[str, Any] = MappingProxyType({})
    """Of the line that is logged once the stream's answer is known."""


def environ_of(head: Head, body: bytes) -> dict[str, Any]:
    scope, headers = head.scope, head.headers
    peer = scope["client"] or ("", 0)
    server = scope["server"] or ("localhost", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": head.path,
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": str(peer[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": _scheme(peer[0], headers.get("x-forwarded-proto"), scope["scheme"]),
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        ON_LOOP: True,
        CLIENT: head.address,
    }
    for name, value in headers.items():
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        elif name not in ("content-length", "transfer-encoding"):  # the body is whole here
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ


def call(
    application: Application,
    head: Head,
    body: bytes,
    learn: Callable[[UUID], None],
    learn_user: Callable[[UUID | None], None],
) -> Result:
    """Blocks until Django has answered; to be run in a thread. Meanwhile `learn` is called with
    organizations that the request is found to concern, and `learn_user` with the user of its API
    key, or None where the key does not count."""
    with tenant.noting(learn, learn_user):
        return _call(application, head, body)


def _call(application: Application, head: Head, body: bytes) -> Result:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        started[:] = [int(status[:3]), headers]

    response = application(environ_of(head, body), start_response)
    try:
        if isinstance(response, StreamResponse) and response.on_loop:
            status, headers = started
            return Result(
                Answer(status, encoded(headers), []), response.stream, response.request_facts
            )
        pieces = list(response)
    finally:
        close = getattr(response, "close", None)
        if close is not None:
            close()
    status, headers = started
    lines = encoded(headers)
    if not any(name == b"content-length" for name, _ in lines):
        lines.append((b"content-length", b"%d" % sum(map(len, pieces))))
    return Result(Answer(status, lines, pieces))


def encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


def _scheme(peer: str, forwarded: str | None, scheme: str) -> str:
    """A proxy on this machine may say that it has been asked by HTTPS."""
    return "https" if forwarded == "https" and peer in LOOPBACK else scheme
