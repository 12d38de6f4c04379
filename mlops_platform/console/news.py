"""Tells an open page that something has changed in one of its member's organizations.

The page then asks for its live part. The news come from the reader of the feed that all streams of
a process share (deployments/feed/broadcast.py): while nothing happens, an open page costs nothing.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from rest_framework.exceptions import Throttled

from accounts.api.requests import Bearer
from deployments.api.feed.streams import BROADCASTER, SLOTS
from deployments.feed import window
from deployments.feed.follower import Follower, Passed
from mlops_platform.api.answers.commit_order import cursor_of
from mlops_platform.api.answers.streams import PushedStream

LONGEST_S = 900.0
NEWS = b"data: changed\n\n"
ALIVE = b": alive\n\n"
END = b"event: end\ndata: end\n\n"
RETRY_MS = 2000


class News(PushedStream):
    """One line for all that has happened since the last one. One query, as it begins."""

    def __init__(self, organizations: Sequence[UUID], reader: Bearer) -> None:
        seen = window.seen_now()
        passed, cursor = Passed(seen.position, seen, None), cursor_of(seen.position, seen)
        self._followers = [Follower(each, reader, passed, cursor) for each in organizations]
        self._keys = {"user": str(reader.user_id)}
        self.longest_s = min(LONGEST_S, reader.expires_in_s)

    def enter(self) -> None:
        if not SLOTS.acquire(self._keys):
            raise Throttled(wait=10, detail="You, or others, follow too many events just now.")

    def begin(self, wake: Callable[[], None]) -> bytes:
        for each in self._followers:
            each.wake = wake
            BROADCASTER.add(each)
        return b"retry: %d\n" % RETRY_MS + ALIVE

    def take(self) -> tuple[bytes, bool]:
        taken = [each.take() for each in self._followers]
        ended = any(ended for _, ended in taken)
        news = any(piece for piece, _ in taken)
        return (END if ended else NEWS if news else b""), ended

    def idle(self) -> bytes:
        return ALIVE

    def last(self) -> bytes:
        return END

    def leave(self) -> None:
        for each in self._followers:
            BROADCASTER.remove(each)
        SLOTS.release(self._keys)
