"""An open stream's place in the feed, and what was pushed into it and not taken yet."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts.api.requests import Bearer
from deployments.feed.window import Entry
from mlops_platform.api.answers.commit_order import Horizon, Position, cursor_of
from organizations.access import Standing
from organizations.models import Role


class Passed(NamedTuple):
    """How far a stream has come. `at`: as in a Window."""

    position: Position
    seen: Horizon
    at: datetime | None


class Follower:
    """Pushed to by the process's one reader (broadcast.py), taken from by the web server.

    While something lies here that its client has not taken, nothing is read for it: a slow client
    costs one page of memory, and goes on from its own place.
    """

    def __init__(
        self,
        organization_id: UUID,
        bearer: Bearer,
        passed: Passed,
        cursor: str,
        wanted: Callable[[Entry], bool] | None = None,
        *,
        role: Role = Role.VIEWER,
    ) -> None:
        """`cursor` is the client's, or one for the same place. Without the `role` its user may not
        read what `wanted` lets through."""
        self.role = role
        self.organization_id, self.bearer, self.wanted = organization_id, bearer, wanted
        self.wake: Callable[[], None] = lambda: None
        self.read_in_turn = 0
        """The reader's turn in which something was last read for it."""
        self.standing: Standing | None = None
        """From which the reader has last concluded that the user may read."""
        self.checked_at = self.authenticated_at = float("-inf")  # time.monotonic()
        self._lock = threading.Lock()
        self._passed, self._cursor = passed, cursor
        self._pieces: Sequence[bytes] = ()
        self._ended = False

    @property
    def passed(self) -> Passed:
        return self._passed

    @property
    def pair(self) -> tuple[UUID, UUID]:
        """The user and the organization."""
        return self.bearer.user_id, self.organization_id

    def has_room(self) -> bool:
        return not self._pieces and not self._ended

    def push(self, pieces: Sequence[bytes], passed: Passed) -> None:
        """All that the client wants up to there. Only where it has room."""
        with self._lock:
            self._passed, self._cursor = passed, ""
            if pieces and not self._ended:
                self._pieces = pieces
                self.wake()

    def end(self, piece: bytes) -> None:
        """The stream ends with this piece."""
        with self._lock:
            if not self._ended:
                self._pieces, self._ended = [*self._pieces, piece], True
                self.wake()

    def take(self) -> tuple[bytes, bool]:
        """All that was pushed, and whether the stream ends with it."""
        with self._lock:
            pieces, self._pieces = self._pieces, ()
            return b"".join(pieces), self._ended

    def cursor(self) -> str:
        """Where a client goes on that has taken all that was pushed; empty where something lies
        here still."""
        with self._lock:
            return "" if self._pieces else self._cursor or cursor_of(*self._passed)
