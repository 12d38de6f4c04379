"""Answers that go on for long, such as a log that is followed.

The platform's web server runs a view in a thread, and serves the stream that its `StreamResponse`
names outside of it. A `Stream` has a thread to itself for `open` and the pieces; `is_ready` and
`is_allowed` are asked now and then in one that all streams share. A `PushedStream` has none: its
pieces come from a thread that many streams share. Under another WSGI server, and in tests, the
view's thread iterates.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.exceptions import APIException

ON_LOOP = "mlops_platform.on_loop"
"""Names the WSGI environ's entry by which the platform's own web server is recognized."""
READY_EVERY_S = 0.5
IDLE_S = 15.0
"""After so long without a piece a pushed stream says that it is alive."""


class Stream:
    """What a stream does; a subclass overrides what differs. Times are in seconds."""

    longest_s = 900.0
    """The longest time of one stream."""

    def enter(self) -> None:
        """Takes the stream's slots; raises 429 where there are none. The first call."""

    def open(self) -> Iterator[bytes] | None:
        """The pieces, or None where they have to wait until `is_ready`.

        May take long, and raises the APIException to answer. A piece is empty where a second has
        passed without one, so that the reader can leave.
        """
        raise NotImplementedError

    def headers(self) -> Mapping[str, str]:
        """Headers that are known only once `open` has returned: read right after its first call."""
        return {}

    def is_ready(self) -> bool:
        """Whether `open` has pieces now."""
        return True

    def is_allowed(self) -> bool:
        """Whether the user may still read; asked every few seconds."""
        return True

    def leave(self) -> None:
        """Gives the slots back. The last call, also after an `open` that raised."""


class PushedStream:
    """A stream whose pieces another thread pushes: while nothing happens, it costs neither a thread
    nor a database connection. No method waits. Times are in seconds."""

    longest_s = 900.0
    """The longest time of one stream."""

    def enter(self) -> None:
        """Takes the stream's slots; raises 429 where there are none. The first call."""

    def begin(self, wake: Callable[[], None]) -> bytes:
        """The first piece. From then on `wake` is called, in any thread, when `take` has one."""
        raise NotImplementedError

    def take(self) -> tuple[bytes, bool]:
        """What was pushed since the last call, and whether the stream ends with it."""
        raise NotImplementedError

    def idle(self) -> bytes:
        """What is sent after IDLE_S without a piece."""
        return b""

    def last(self) -> bytes:
        """What is sent when `longest_s` are over."""
        return b""

    def leave(self) -> None:
        """Gives the slots back. The last call, and `wake` is not called after it."""


class StreamResponse(StreamingHttpResponse):
    """The headers of a stream, and, outside the platform's own web server, its pieces too."""

    def __init__(self, request: HttpRequest, stream: Stream | PushedStream, **options: Any) -> None:
        self.stream = stream
        self.request_facts: dict[str, Any] = {}
        """What the web server logs of the request."""
        self.on_loop = bool(request.META.get(ON_LOOP))
        super().__init__(() if self.on_loop else _pieces_of(stream), **options)
        if isinstance(stream, Stream) and not self.on_loop:
            for name, value in stream.headers().items():
                self[name] = value


def _pieces_of(stream: Stream | PushedStream) -> Iterable[bytes]:
    if isinstance(stream, Stream):
        return _Pieces(stream)
    stream.enter()
    pieces = _pushed(stream)
    next(pieces)  # from here on its end gives the slots back
    return pieces


def _pushed(stream: PushedStream) -> Iterator[bytes]:
    arrived = threading.Event()
    until = time.monotonic() + stream.longest_s
    ended = False
    try:
        yield b""
        yield stream.begin(arrived.set)
        while not ended:
            left = until - time.monotonic()
            if left <= 0:
                yield stream.last()
                return
            if arrived.wait(min(left, IDLE_S)):
                arrived.clear()
                piece, ended = stream.take()
                yield piece
            else:
                yield stream.idle()
    finally:
        stream.leave()


class _Pieces:
    """Iterates a stream, whose beginning it has made before the response begins."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._until = time.monotonic() + stream.longest_s
        self._opened: Iterator[bytes] | None = None
        stream.enter()
        self._is_open = True
        try:
            self._opened = stream.open()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._await_pieces():
                if time.monotonic() > self._until:
                    return
                yield piece
        except APIException:  # the response has begun: it can only end
            return

    def _await_pieces(self) -> Iterator[bytes]:
        while self._opened is None:
            time.sleep(READY_EVERY_S)
            if time.monotonic() > self._until or not self._stream.is_allowed():
                return iter(())
            if self._stream.is_ready():
                self._opened = self._stream.open()
        return self._opened

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            getattr(self._opened, "close", lambda: None)()
            self._stream.leave()
