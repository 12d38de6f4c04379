"""Streams that may be silent for long, read so that whoever waits may leave in between."""

import queue
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from threading import Event, Thread


def ticking(
    body: Iterable[bytes], shutdown: Callable[[], object], tick_s: float
) -> Generator[bytes | None, None, None]:
    """The body as it comes, and None where nothing comes for `tick_s`.

    A thread reads, since a socket whose read has timed out cannot be read on. `shutdown` has it
    come back from a read: the body closes what it reads from.
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
        with suppress(ValueError, RuntimeError, OSError):  # it has come to its end by itself
            shutdown()
