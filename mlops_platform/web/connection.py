"""One connection: uvicorn's HTTP/1.1 protocol, with limits on headers and on every time to wait."""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from mlops_platform.headers import CONTENT_SECURITY_POLICY
from mlops_platform.web import limits

GUARDS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
]
BAD_REQUEST = (400, "bad_request", "The request cannot be read.")
TOO_SLOW = (408, "request_timeout", "The request did not arrive in time.")
HEAD_TOO_LARGE = (431, "head_too_large", "The request has too many or too long headers.")
TARGET_TOO_LONG = (414, "target_too_long", "The request's path and query are too long.")

_without_request: dict["Connection", None] = {}
"""This process' connections that are idle or send headers, in the order in which that began."""


class Refused(Exception):  # noqa: N818 - says what the client gets
    """Raised out of the parser's callbacks; the parser then reports a request that is none."""


class Connection(HttpToolsProtocol):
    """A connection always has a deadline, except while its request is being answered.

    A name with an underscore could pass for another header behind WSGI, and a trailer for one that
    a proxy has checked; both are dropped.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.stopping = asyncio.Event()
        """The server ends: a stream ends now, other requests are answered."""
        self._deadline: asyncio.TimerHandle | None = None
        self._receiving = False  # a request has begun to arrive, and is not whole
        self._head_is_whole = False
        self._head_bytes = 0
        self._refusal = BAD_REQUEST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        _notice_dead_peers(transport)
        self._await_head(limits.HEAD_S)
        if len(self.connections) > limits.CONNECTIONS:
            next(iter(_without_request)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self.stopping.set()
        super().shutdown()

    # --- What the parser reports ---

    def data_received(self, data: bytes) -> None:
        if not self._head_is_whole:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._head_is_whole and self._head_bytes > limits.LONGEST_HEAD:
            self._refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["connection"] = self
        self._receiving, self._head_is_whole, self._head_bytes = True, False, 0
        self._await_head(limits.HEAD_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_is_whole and b"_" not in name:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_is_whole = True
        self._check_head()
        super().on_headers_complete()
        self._arm(limits.BODY_S)
        _without_request.pop(self, None)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = False
        if self.cycle.response_complete:
            self._await_head(limits.IDLE_S)
        else:
            self._disarm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            self._arm(limits.UNREAD_S)
        elif not self._receiving and not self._is_answering():
            self._await_head(limits.IDLE_S)

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    # --- Limits ---

    def _check_head(self) -> None:
        if len(self.url) > limits.LONGEST_TARGET:
            self._refusal = TARGET_TOO_LONG
            raise Refused
        size = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > limits.MOST_HEADERS or size > limits.LONGEST_HEAD:
            self._refusal = HEAD_TOO_LARGE
            raise Refused

    def _await_head(self, within_s: float) -> None:
        _without_request.pop(self, None)
        _without_request[self] = None
        self._arm(within_s)

    def _arm(self, within_s: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(within_s, self._expire)

    def _disarm(self) -> None:
        _without_request.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return bool(self.pipeline) or (cycle is not None and not cycle.response_complete)

    def _expire(self) -> None:
        if self._is_answering() and not self.transport.is_closing():
            self._arm(limits.HEAD_S)  # its own request, or one behind it, is late: the answer first
        elif self._receiving and not self._head_is_whole and not self.transport.is_closing():
            self._refuse(TOO_SLOW)
        else:
            self.transport.abort()

    def _refuse(self, refusal: tuple[int, str, str]) -> None:
        """Answers a request that Django never sees, and closes the connection."""
        if self.transport.is_closing():
            return
        status, code, detail = refusal
        content = json.dumps({"detail": detail, "code": code}).encode()
        headers = [
            *self.server_state.default_headers,
            *GUARDS,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", content]))
        self.transport.close()
        self._arm(limits.UNREAD_S)


def _notice_dead_peers(transport: asyncio.Transport) -> None:
    """A peer whose machine is gone closes nothing; TCP asks after 15 s of silence, and again."""
    peer = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):  # a Unix socket needs none of it
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
