"""Reads streams that may be silent for long, so that the reader may leave in between."""

import queue
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
PIECES_PER_S = 20_000  # an engine sends each line of a log in a piece of its own


def ticking(
    body: Iterable[bytes], shutdown: Callable[[], object], tick_s: float
) -> Generator[bytes | None, None, None]:
    """Yields the body as it comes, and None where nothing comes for `tick_s`.

    A thread reads, because a socket cannot be read further after a timeout. `shutdown` ends the
    thread's read; the body closes its source.
    """
    arrived: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=64)
    left = Event()

    def put(item: bytes | BaseException | None) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                arrived.put(item, timeout=1)
                return

    def read() -> None:
        try:
            for piece in body:
                put(piece)
                if left.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    Thread(target=read, name="stream", daemon=True).start()
    try:
        while True:
            try:
                item = arrived.get(timeout=tick_s)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        with suppress(ValueError, RuntimeError, OSError):  # the stream has ended already
            shutdown()


def paced(items: Iterable[T], most_per_s: int) -> Iterator[T]:
    """The items, at most so many a second: a stream that floods waits instead of its reader."""
    begun, count = time.monotonic(), 0
    for item in items:
        yield item
        count += 1
        if count >= most_per_s:
            time.sleep(max(0.0, begun + 1 - time.monotonic()))
            begun, count = time.monotonic(), 0
