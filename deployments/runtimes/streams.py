"""Reads streams that may be silent for long, so that the reader may leave in between."""

import queue
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
LONGEST_LETTER = 4  # bytes of a character in UTF-8
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


def merged(
    sources: Sequence[Iterable[T]], stop: Event, over: Event, tick_s: float
) -> Generator[T | None, None, None]:
    """What any of the sources yields, as it comes, and then None where nothing comes for `tick_s`.

    A thread reads each. It ends, and `over` is set for the threads, with the first source that
    ends, once `stop` is set, or with the reader. Raises what a source raises.
    """
    arrived: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=64)

    def put(item: T | None, error: BaseException | None = None, *, last: bool = False) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                arrived.put((item, error, last), timeout=1)
                return

    def read(source: Iterable[T]) -> None:
        try:
            for item in source:
                put(item)
        except BaseException as error:
            put(None, error, last=True)
        put(None, last=True)

    for each in sources:
        Thread(target=read, args=(each,), name="stream", daemon=True).start()
    begun = False
    try:
        while not stop.is_set():
            try:
                item, error, last = arrived.get(timeout=tick_s)
            except queue.Empty:
                if begun:
                    yield None
                continue
            if error is not None:
                raise error
            if last:
                return
            begun = True
            yield item
    finally:
        over.set()


def paced(items: Iterable[T], most_per_s: int) -> Iterator[T]:
    """The items, at most so many a second: a stream that floods waits instead of its reader."""
    begun, count = time.monotonic(), 0
    for item in items:
        yield item
        count += 1
        if count >= most_per_s:
            time.sleep(max(0.0, begun + 1 - time.monotonic()))
            begun, count = time.monotonic(), 0


def whole_letters(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces that end in no middle of a UTF-8 character.

    So a reader who stops after any piece has whole characters. The begun character goes out alone
    where the next piece is empty (nothing comes for now), and at the end; what is no UTF-8 passes
    as it is.
    """
    begun = b""
    for piece in pieces:
        text = begun + piece
        whole = _length_of_whole(text) if piece else len(text)
        begun = text[whole:]
        yield text[:whole]
    if begun:
        yield begun


def from_whole_letter(text: bytes) -> bytes:
    """The end of a longer text, from its first whole UTF-8 character on."""
    for start in range(min(LONGEST_LETTER, len(text))):
        if not _continues(text[start]):
            return text[start:]
    return text  # no UTF-8


def to_whole_letter(text: bytes) -> bytes:
    """The beginning of a longer text, to its last whole UTF-8 character."""
    return text[: _length_of_whole(text)]


def _length_of_whole(text: bytes) -> int:
    """Without the character that begins at the end and needs more bytes than there are."""
    for back in range(1, min(LONGEST_LETTER, len(text) + 1)):
        byte = text[-back]
        if _continues(byte):
            continue
        needs = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(text) - back if needs > back else len(text)
    return len(text)


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80
