"""An answer of a worker, from the thread that reads the log to the one that sends it."""

import time
from threading import Condition, Event

from deployments.output.exchange import (
    ALIVE_EVERY_S,
    MOST_PARTS,
    PART_BYTES,
    SILENT_S,
    Failure,
    Kind,
    Request,
)

FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.5  # for room, where the reader is slow; doubled each time
TAKEN_WITHIN_S = 0.2  # the reader learns that a worker has taken its request
LAST = (Kind.ENDED, Kind.FAILED)

Part = tuple[Kind, bytes]


class ReaderGone(Exception):  # noqa: N818 - no mistake: the client has left
    """No one reads the answer any more."""


class Answer:
    """The answer to one request. `come` is set when there is something to send."""

    def __init__(self, request: Request, come: Event) -> None:
        self.request = request
        self._come = come
        self._changed = Condition()  # of the next four, which both threads use
        self._text = bytearray()
        self._opened = self._gone = False
        self._last: Part | None = None
        # The sender's:
        self._sent = 0  # parts that Redis has
        self._parts: list[Part] = []  # that it may have, or not
        self._room = MOST_PARTS
        self._look_s, self._look_at = FIRST_LOOK_S, 0.0
        self._heard_at = self._spoke_at = time.monotonic()

    # --- In the thread that reads the log ---

    def open(self) -> None:
        """The endpoint has begun to answer."""
        with self._changed:
            self._opened = True
        self._come.set()

    def write(self, text: bytes) -> None:
        """Waits where the reader is slow. Raises ReaderGone."""
        with self._changed:
            full = MOST_PARTS * PART_BYTES
            self._changed.wait_for(lambda: self._gone or len(self._text) < full)
            if self._gone:
                raise ReaderGone
            self._text += text
        if text:
            self._come.set()

    def end(self) -> None:
        self._finish((Kind.ENDED, b""))

    def fail(self, failure: Failure, sentence: str = "") -> None:
        """End it, in any thread. What has been written before comes first."""
        self._finish((Kind.FAILED, f"{failure} {sentence}".encode()))

    def _finish(self, last: Part) -> None:
        with self._changed:
            self._last = self._last or last
        self._come.set()

    # --- In the thread that sends ---

    @property
    def is_full(self) -> bool:
        """Whether Redis has as many unread parts as it may have."""
        return not self._room

    def due(self) -> list[tuple[int, Part]] | None:
        """The parts to send now, with their numbers; empty where only the room is to be asked for;
        None where nothing is to be done."""
        now = time.monotonic()
        if self.is_full:
            return [] if now >= self._look_at else None
        self._parts = self._parts or self._next_parts(now)
        return list(enumerate(self._parts, self._sent + 1)) or None

    def _next_parts(self, now: float) -> list[Part]:
        parts: list[Part] = []
        with self._changed:
            if self._opened:
                parts.append((Kind.OPENED, b""))
                self._opened = False
            while self._text and len(parts) < self._room:
                parts.append((Kind.TEXT, bytes(self._text[:PART_BYTES])))
                del self._text[:PART_BYTES]
            if self._last is not None and not self._text and len(parts) < self._room:
                parts.append(self._last)
            self._changed.notify_all()
        silent_s = ALIVE_EVERY_S if self._sent else TAKEN_WITHIN_S
        if not parts and now - self._spoke_at >= silent_s:
            parts.append((Kind.ALIVE, b""))
        return parts

    def note_sent(self, unread: int) -> bool:
        """Redis has the parts now, and so many that are unread. Whether the last of all is sent."""
        self._heard_at = time.monotonic()
        if self._parts:
            self._spoke_at = self._heard_at
        over = any(kind in LAST for kind, _ in self._parts)
        self._sent += len(self._parts)
        self._parts = []
        self._room = max(MOST_PARTS - unread, 0)
        self._look_s = FIRST_LOOK_S if self._room else min(self._look_s * 2, LONGEST_LOOK_S)
        self._look_at = self._heard_at + self._look_s
        return over

    def is_late(self) -> bool:
        """Whether Redis has not taken anything for so long that the reader has given up."""
        return time.monotonic() - self._heard_at > SILENT_S

    def give_up(self) -> None:
        """The next `write` raises ReaderGone."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()
