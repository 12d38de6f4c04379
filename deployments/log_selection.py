"""Which lines of a log a user asks for, and picking them out of it as it is read."""

import time
from collections import deque
from datetime import datetime
from typing import NamedTuple

from clusters.models import Runtime
from deployments.models import Deployment, Status
from deployments.runtimes.log_lines import Line, LineReader, nanoseconds

WAITING = (Status.QUEUED, Status.STARTING)
TAIL_BYTES = 4 * 1024 * 1024  # in memory, of a tail that no runtime can count
CAUGHT_UP_S = 30.0  # the longest that a followed log is read for its tail
NS_PER_US = 1000


class LogQuery(NamedTuple):
    """Which part of the log; `attempt` None is the present attempt, or the last.

    First come `since` and `until`, then `grep`, then either `tail` or `skip` and `limit`.
    """

    attempt: int | None = None
    replica: int = 0
    since: datetime | None = None
    until: datetime | None = None  # with the moment itself
    grep: bytes = b""
    tail: int | None = None  # lines from the end
    skip: int = 0  # lines from the beginning
    limit: int | None = None
    timestamps: bool = False
    follow: bool = False

    def waits_for(self, row: Deployment) -> bool:
        """Whether the log is followed from a start that is still to come; nothing that is
        simulated writes any."""
        waits = self.follow and self.attempt is None and row.status in WAITING
        return waits and row.cluster.runtime != Runtime.SIMULATED

    @property
    def picks_lines(self) -> bool:
        """Whether the runtime's pieces have to be read line by line, with their times."""
        picked = self.since, self.until, self.limit
        return any(each is not None for each in picked) or bool(
            self.grep or self.skip or self.timestamps
        )

    @property
    def runtime_tail(self) -> int | None:
        """The tail that the runtime itself counts, as it knows neither `grep` nor `until`."""
        return None if self.grep or self.until is not None else self.tail


class Selection:
    """Picks lines out of a log's pieces. `over`: no later line matters. `cut`: lines are missing
    that the query asks for.

    `tail` is counted here. Of a log that is followed it ends with what had been written when it was
    opened: with the first line that is newer, or the first second of silence. Keeps TAIL_BYTES of
    its lines, and one line, in memory at most.
    """

    def __init__(self, query: LogQuery, *, tail: int | None, stamped: bool = True) -> None:
        self.over = self.cut = False
        self._query = query
        self._reader = LineReader(stamped=stamped)
        self._since_us, self._until_us = _microseconds(query.since), _microseconds(query.until)
        self._tail = tail
        self._last: deque[bytes] | None = None if tail is None else deque()
        self._last_bytes = 0
        self._opened_us = time.time_ns() // NS_PER_US
        self._counts_until = time.monotonic() + CAUGHT_UP_S
        self._context = b""  # what a part of a long line continues, as far as `grep` is long
        self._seen = 0  # lines that count for `skip` and `limit`
        self._written = bytearray()
        self._line_is_open = False

    def feed(self, piece: bytes) -> bytes:
        """What is to be answered now. An empty piece: nothing has come for a second."""
        for line in self._reader.feed(piece):
            if self.over:
                break
            self._take(line)
        if self._query.follow and (not piece or time.monotonic() > self._counts_until):
            self._write_tail()
        return self._flush()

    def end(self) -> bytes:
        """What is to be answered once no piece comes any more, or the selection is over."""
        for line in self._reader.end():
            if not self.over:
                self._take(line)
        self._write_tail()
        return self._flush()

    def _take(self, line: Line) -> None:
        at_ns = nanoseconds(line.time) if self._needs_time() else None
        if at_ns is not None:
            at_us = at_ns // NS_PER_US
            if self._since_us is not None and at_us < self._since_us:
                return
            if self._until_us is not None and at_us > self._until_us:
                self.over = True
                return
            if self._query.follow and at_us >= self._opened_us:
                self._write_tail()
        if self._query.grep and not self._matches(line):
            return
        text = line.text
        if self._query.timestamps and line.time:
            text = line.time + b" " + text
        if self._last is not None:
            self._remember(self._last, text)
            return
        self._seen += 1
        if self._seen > self._query.skip:
            self._write(text)
        limit = self._query.limit
        self.over = limit is not None and self._seen >= self._query.skip + limit

    def _needs_time(self) -> bool:
        given = self._since_us, self._until_us, self._last
        return any(each is not None for each in given)

    def _matches(self, line: Line) -> bool:
        """Finds also what begins in the part before of a line that is too long."""
        text = line.text if line.begins else self._context + line.text
        self._context = text[len(text) - len(self._query.grep) + 1 :]
        return self._query.grep in text

    def _remember(self, last: deque[bytes], text: bytes) -> None:
        assert self._tail is not None
        last.append(text)
        self._last_bytes += len(text)
        while len(last) > self._tail or self._last_bytes > TAIL_BYTES:
            self.cut = self.cut or len(last) <= self._tail
            self._last_bytes -= len(last.popleft())

    def _write_tail(self) -> None:
        last, self._last = self._last, None
        for text in last or ():
            self._write(text)

    def _write(self, text: bytes) -> None:
        if self._line_is_open:
            self._written += b"\n"
        self._written += text
        self._line_is_open = not text.endswith(b"\n")

    def _flush(self) -> bytes:
        written = bytes(self._written)
        self._written.clear()
        return written


def _microseconds(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1_000_000)
