"""The feed as Server-Sent Events: each has the cursor behind it as its id, so that a client which
connects again with `Last-Event-ID` goes on there."""

import json
import logging
from collections.abc import Callable, Sequence

from rest_framework.exceptions import Throttled
from rest_framework.renderers import JSONRenderer

from accounts.api.requests import Bearer
from deployments.api.feed.parameters import EventQuery
from deployments.api.feed.shown import Shown, shown_each
from deployments.feed.broadcast import Broadcaster, Texts
from deployments.feed.follower import Follower, Passed
from deployments.feed.pages import FeedEvent, position_of_row
from mlops_platform.api.answers.commit_order import CursorExpired, Horizon, cursor_of
from mlops_platform.api.answers.streams import PushedStream
from mlops_platform.api.throttling.slots import Slots
from organizations.models import Role

logger = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"
LONGEST_S = 3600.0
RETRY_MS = 1000
# In each process of the web server. A stream occupies a connection, and no thread.
SLOTS = Slots(all=600, organization=200, user=50)


def _end(code: str, detail: str) -> bytes:
    """The last event of a stream that the platform ends."""
    return b"event: end\ndata: %s\n\n" % json.dumps({"code": code, "detail": detail}).encode()


def _id(cursor: str) -> bytes:
    """A client keeps it as the last id, and shows nothing."""
    return f"id: {cursor}\n\n".encode()


def _of_events(rows: Sequence[FeedEvent], seen: Horizon) -> list[bytes]:
    """One piece for each; for one of which nothing can be shown its id alone, so that its readers
    move on."""
    return [
        _piece(row, shown, seen) for row, shown in zip(rows, shown_each(rows, seen), strict=True)
    ]


def _piece(row: FeedEvent, shown: Shown | None, seen: Horizon) -> bytes:
    if shown is not None:
        try:
            data = JSONRenderer().render(shown)  # one line
            return b"id: %s\ndata: %s\n\n" % (shown["cursor"].encode(), data)
        except Exception:  # whatever a row has: the others have to be shown
            logger.exception("an event cannot be shown", extra={"event": row.pk})
    return _id(cursor_of(position_of_row(row), seen, row.at))


TIME_IS_UP = _end("time_is_up", "The stream has lasted for an hour: connect again.")
TOKEN_EXPIRED = _end("token_expired", "The access token has expired: connect with a new one.")
NOT_ALLOWED = _end("not_allowed", "You may not read these events any more.")
EXPIRED = _end(CursorExpired.default_code, CursorExpired.default_detail)
BROADCASTER = Broadcaster(Texts(_of_events, EXPIRED, NOT_ALLOWED))


class EventStream(PushedStream):
    """What happens in an organization, as it happens."""

    def __init__(self, query: EventQuery, seen: Horizon, bearer: Bearer) -> None:
        """400 or 410 for a cursor that does not count. One query where none was given."""
        position, self._first = query.start(seen)
        passed = Passed(position, seen, None)
        self._follower = Follower(
            query.organization_id,
            bearer,
            passed,
            self._first,
            query.seen_by_filter,
            role=Role.VIEWER if query.hidden else Role.ADMIN,
        )
        self._last = TIME_IS_UP if bearer.expires_in_s > LONGEST_S else TOKEN_EXPIRED
        self.longest_s = min(LONGEST_S, bearer.expires_in_s)
        self._keys = {
            "user": str(bearer.user_id),
            "organization": str(query.organization_id),
        }

    def enter(self) -> None:
        if not SLOTS.acquire(self._keys):
            raise Throttled(wait=10, detail="You, or others, follow too many events just now.")

    def begin(self, wake: Callable[[], None]) -> bytes:
        self._follower.wake = wake
        BROADCASTER.add(self._follower)
        return b"retry: %d\n" % RETRY_MS + _id(self._first)

    def take(self) -> tuple[bytes, bool]:
        return self._follower.take()

    def idle(self) -> bytes:
        cursor = self._follower.cursor()
        return _id(cursor) if cursor else b""

    def last(self) -> bytes:
        return self._last

    def leave(self) -> None:
        BROADCASTER.remove(self._follower)
        SLOTS.release(self._keys)
