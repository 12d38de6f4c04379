"""Lines of a log, read from pieces in which each line begins with the runtime's own time.

A line ends in a newline. A longer one than LONGEST_LINE is read as several, of one time.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from deployments.runtimes.streams import to_whole_letter

LONGEST_LINE = 256 * 1024  # bytes, without its time and its newline
NS_PER_S = 10**9
_LONGEST_STAMP = 64
_TIME = struct.Struct("<q")
_STAMP = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) "  # RFC 3339
)


class Line(NamedTuple):
    time: bytes  # RFC 3339, as the runtime writes it; empty where it names none
    text: bytes  # with its newline; the log's last line, and a part of a longer line, may have none
    begins: bool = True  # False: it goes on with a line that is too long


class LineReader:
    """Cuts pieces into lines. `stamped`: each line begins with its time and a space.

    Keeps LONGEST_LINE bytes at most. A line without a time has that of the line before.
    """

    def __init__(self, *, stamped: bool) -> None:
        self._stamped = stamped
        self._rest = bytearray()
        self._time = b""
        self._begins = True

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that are whole now. Iterate them all before the next piece."""
        self._rest += piece
        if b"\n" in piece:
            *whole, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for text in whole:
                yield from self._parts(text + b"\n")
        if len(self._rest) > LONGEST_LINE + _LONGEST_STAMP:
            *parts, last = self._parts(bytes(self._rest))
            yield from parts
            self._rest, self._begins = bytearray(last.text), False

    def end(self) -> Iterator[Line]:
        """The last line, which has no newline."""
        rest, self._rest = bytes(self._rest), bytearray()
        if rest:
            yield from self._parts(rest)

    def _parts(self, text: bytes) -> Iterator[Line]:
        if self._stamped and self._begins:
            stamp, text = split_stamp(text)
            self._time = stamp[:-1] or self._time
        newline = text.endswith(b"\n")
        while len(text) - newline > LONGEST_LINE:
            part = to_whole_letter(text[:LONGEST_LINE])
            yield Line(self._time, part, self._begins)
            self._begins = False
            text = text[len(part) :]
        yield Line(self._time, text, self._begins)
        self._begins = True


def split_stamp(text: bytes) -> tuple[bytes, bytes]:
    """The time that the text begins with, with the space after it, and the rest; or no time."""
    stamp = _STAMP.match(text)
    end = stamp.end() if stamp else 0
    return text[:end], text[end:]


def nanoseconds(stamp: bytes) -> int | None:
    """From 1970 on, of 63 bits; None for what is no such time."""
    found = _STAMP.match(stamp + b" ")
    if found is None:
        return None
    second, fraction, zone = (part.decode() for part in found.groups(b""))
    try:
        at = datetime.fromisoformat(second + zone)
    except ValueError:  # such as the 13th month
        return None
    at_ns = round(at.timestamp()) * NS_PER_S + int(fraction.ljust(9, "0"))
    return at_ns if 0 <= at_ns < 2**63 else None


def packed(stamps: Iterable[bytes]) -> bytes | None:
    """The times in 8 bytes each; None where any of them is no time."""
    times = [nanoseconds(stamp) for stamp in stamps]
    known = [at_ns for at_ns in times if at_ns is not None]
    return b"".join(map(_TIME.pack, known)) if len(known) == len(times) else None


def unpacked(times: bytes) -> list[bytes]:
    """The stamps of packed times, in UTC."""
    return [_stamp_of(at_ns) for (at_ns,) in _TIME.iter_unpack(times)]


def _stamp_of(at_ns: int) -> bytes:
    seconds, fraction = divmod(at_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z".encode()
