"""Reads a stream's source in a thread of its own, as fast as the loop takes the pieces."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from django.db import connection
from rest_framework.exceptions import APIException

from mlops_platform.api.answers.streams import Stream
from mlops_platform.web import limits

logger = logging.getLogger(__name__)


class StreamReader:
    """The thread that opens a stream and reads its pieces. All methods are the loop's."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[bool] = self._loop.create_future()
        """Whether pieces follow; False where the stream has to wait until it is ready."""
        self._thread_ended: asyncio.Future[None] = self._loop.create_future()
        self._arrived = asyncio.Event()
        # Shared with the thread:
        self._room = threading.Condition()
        self._pieces: list[bytes] = []
        self._size = 0
        self._source_ended = self._stopped = False
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    async def take(self) -> tuple[bytes, bool]:
        """What has arrived since the last call, and whether that is all there is."""
        await self._arrived.wait()
        self._arrived.clear()
        with self._room:
            data, ended = b"".join(self._pieces), self._source_ended
            self._pieces, self._size = [], 0
            self._room.notify()
        return data, ended

    def stop(self, then: Callable[[], object]) -> None:
        """Ends the thread, which may take it until the next piece, and calls `then` after that."""
        with self._room:
            self._stopped = True
            self._room.notify()
        self._thread_ended.add_done_callback(lambda _: then())
        self.opened.add_done_callback(lambda each: each.cancelled() or each.exception())

    # --- In the thread ---

    def _run(self) -> None:
        try:
            pieces = self._open()
            if pieces is not None:
                self._read(pieces)
        finally:
            connection.close()
            self._tell(self._thread_ended.set_result, None)

    def _open(self) -> Iterator[bytes] | None:
        try:
            pieces = self._stream.open()
        except BaseException as error:
            self._tell(self._open_failed, error)
            return None
        finally:
            connection.close()  # else each stream would keep one for minutes
        self._tell(self._set_opened, pieces is not None)
        return pieces

    def _read(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                if not self._keep(piece):
                    break
        except APIException:
            pass  # the response has begun: it can only end
        except Exception:
            logger.exception("a stream ended early")
        finally:
            with contextlib.suppress(Exception):
                getattr(pieces, "close", lambda: None)()
            with self._room:
                self._source_ended = True
            self._tell(self._arrived.set)

    def _keep(self, piece: bytes) -> bool:
        """Whether to read on. Waits while the loop has enough to send."""
        with self._room:
            if piece:
                self._pieces.append(piece)
                self._size += len(piece)
                if len(self._pieces) == 1:
                    self._tell(self._arrived.set)
            while not self._stopped and (
                self._size >= limits.TAKEN_BYTES or len(self._pieces) >= limits.TAKEN_PIECES
            ):
                self._room.wait()
            return not self._stopped

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(call, *arguments)

    # --- On the loop again ---

    def _set_opened(self, has_pieces: bool) -> None:
        if not self.opened.done():
            self.opened.set_result(has_pieces)

    def _open_failed(self, error: BaseException) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
