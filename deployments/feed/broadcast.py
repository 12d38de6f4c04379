"""Reads the feed for all streams of events that are open in a process, in one thread.

Twice a second one query asks how far the feed may be read (`window.seen_now`). While that stays,
nothing more is read. Streams that have come equally far, of whatever organizations, are read for
together, so that all that wait for what is next cost what one costs. A stream that is behind, since
it began in the past or its client takes slowly, is read for by itself, in turns with the others.

Whether users may read is asked after the events were read and before they are pushed: what a former
member gets was visible while the membership lasted. A fault of our own in one event or stream is
logged and leaves the others as they are. Nothing here depends on Redis, and while
PostgreSQL is away the streams wait.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import Error, connection
from rest_framework.exceptions import APIException

from deployments.feed import pages, window
from deployments.feed.follower import Follower, Passed
from deployments.feed.pages import FeedEvent
from deployments.feed.window import Entry
from mlops_platform.api.answers.commit_order import Horizon, Position
from organizations import access

logger = logging.getLogger(__name__)

EVERY_S = 0.5  # from one look to the next
AT_ONCE_S = 0.05  # where something is there to read already
AWAY_S = 1.0  # PostgreSQL does not answer
WINDOW = 500  # events that are looked at for a stream at once
BEHIND_AT_ONCE = 8  # places, besides the foremost, that are read from in one turn
CHECKED_EVERY_S = 5.0  # by the memberships
AUTHENTICATED_EVERY_S = 60.0  # by the whole token
REPORTED_EVERY_S = 60.0  # a fault of our own, for each organization

Pushes = dict[Follower, tuple[list[bytes], Passed]]
"""What each stream gets, and how far it has come with that."""


class Texts(NamedTuple):
    """How streams are written."""

    of_events: Callable[[Sequence[FeedEvent], Horizon], Sequence[bytes]]
    expired: bytes
    """The last piece of a stream that cannot go on from its place."""
    not_allowed: bytes
    """The last piece of a stream whose user may not read any more."""


class Broadcaster:
    """The reader of one process. Its thread runs while there are streams."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._lock = threading.Lock()
        self._followers: dict[Follower, None] = {}
        self._thread: threading.Thread | None = None
        self._come = threading.Event()
        self._turn = 0
        self._reported_at: dict[UUID, float] = {}  # by time.monotonic()

    def add(self, follower: Follower) -> None:
        with self._lock:
            self._followers[follower] = None
            self._come.set()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
                thread.start()  # raises where the system has no thread left: the next one tries
                self._thread = thread

    def remove(self, follower: Follower) -> None:
        """Nothing is read for it from here on."""
        with self._lock:
            self._followers.pop(follower, None)

    # --- In the thread ---

    def _run(self) -> None:
        try:
            while self._has_followers():
                self._come.wait(self._look_in_peace())
                time.sleep(AT_ONCE_S)  # a burst of new streams makes one look
                self._come.clear()
        finally:
            connection.close()

    def _has_followers(self) -> bool:
        with self._lock:
            if not self._followers:
                self._thread = None
            return bool(self._followers)

    def _look_in_peace(self) -> float:
        """After how many seconds to look again."""
        try:
            return 0.0 if self._look() else EVERY_S
        except Error as error:
            logger.warning("streams of events wait", extra={"error": str(error)})
        except Exception:
            logger.exception("streams of events wait")
        connection.close()
        return AWAY_S

    def _look(self) -> bool:
        """Whether something is there to read at once. One query where nothing is new."""
        self._turn += 1
        with self._lock:
            followers = list(self._followers)
        seen = window.seen_now()
        oldest = seen.at - window.kept()
        places: dict[Position, list[Follower]] = defaultdict(list)
        for each in followers:
            passed = each.passed
            if passed.seen.life != seen.life or (passed.at is not None and passed.at < oldest):
                each.end(self._texts.expired)
            elif each.has_room():
                places[passed.position].append(each)
        for each in places.pop(seen.position, ()):
            each.push((), Passed(seen.position, seen, None))
        chosen, more = self._choose(places)
        pushes = [self._read(place, places[place], seen) for place in chosen]
        receiving = [each for pushed in pushes for each in pushed if pushed[each][0]]
        unknown = self._check(receiving, followers)
        for pushed in pushes:
            for each, (pieces, passed) in pushed.items():
                if each not in unknown:
                    more = more or passed.position < seen.position
                    each.push(pieces, passed)
        return more

    def _choose(self, places: Mapping[Position, list[Follower]]) -> tuple[list[Position], bool]:
        """The places to read from, and whether that leaves some: the foremost, where most streams
        are, and of the others those that have waited for longest."""
        if not places:
            return [], False
        foremost = max(places)
        others = sorted(
            (each for each in places if each != foremost),
            key=lambda place: (min(each.read_in_turn for each in places[place]), place),
        )
        return [foremost, *others[:BEHIND_AT_ONCE]], len(others) > BEHIND_AT_ONCE

    def _read(self, place: Position, followers: Sequence[Follower], seen: Horizon) -> Pushes:
        """What comes next for streams that have come equally far. One query, and those of the rows
        that any of them wants.

        Where that fails it is done for each organization alone, and streams of those for which it
        fails still are left where they are.
        """
        for each in followers:
            each.read_in_turn = self._turn
        try:
            return self._pushes(place, followers, seen)
        except Error:
            raise
        except Exception as error:
            by_organization: dict[UUID, list[Follower]] = defaultdict(list)
            for each in followers:
                by_organization[each.organization_id].append(each)
            if len(by_organization) == 1:
                self._report(followers[0], error)
                return {}
        pushes: Pushes = {}
        for some in by_organization.values():
            pushes |= self._read(place, some, seen)
        return pushes

    def _pushes(self, place: Position, followers: Sequence[Follower], seen: Horizon) -> Pushes:
        found = window.read({each.organization_id for each in followers}, place, seen, WINDOW)
        inside: dict[object, list[Entry]] = defaultdict(list)
        for entry in found.entries:
            inside[entry.organization_id].append(entry)
        wanted: dict[Follower, list[Entry]] = {}
        for each in followers:
            own = inside[each.organization_id]
            try:
                wanted[each] = own if each.wanted is None else [e for e in own if each.wanted(e)]
            except Exception as error:
                self._report(each, error)
        needed = {entry.position for entries in wanted.values() for entry in entries}
        chosen = [entry for entry in found.entries if entry.position in needed]
        rows, count = pages.rows_of(chosen)
        end, at = found.end, found.at
        if count < len(chosen):
            end, at = chosen[count - 1].position, chosen[count - 1].at
        texts = self._texts.of_events(rows, seen)
        by_row = {pages.row_of(row): text for row, text in zip(rows, texts, strict=True)}
        return {
            each: (
                [by_row[e.position.row] for e in entries if e.position.row in by_row],
                Passed(end, seen, at),
            )
            for each, entries in wanted.items()
        }

    def _report(self, follower: Follower, error: Exception) -> None:
        """Log the error, once in a while for each organization."""
        now = time.monotonic()
        organization = follower.organization_id
        if now - self._reported_at.get(organization, float("-inf")) > REPORTED_EVERY_S:
            self._reported_at = {
                each: at for each, at in self._reported_at.items() if now - at < REPORTED_EVERY_S
            }
            self._reported_at[organization] = now
            logger.error(
                "a stream of events stays where it is",
                exc_info=error,
                extra={"organization": str(organization)},
            )

    def _check(self, receiving: Sequence[Follower], all_: Sequence[Follower]) -> set[Follower]:
        """Ends the streams of users who may not read any more; returns those of which this is not
        known. One query where some are to receive events, or were not checked for a while; two more
        for each whose standing has changed."""
        now = time.monotonic()
        due = [each for each in all_ if now - each.checked_at > CHECKED_EVERY_S]
        checked = dict.fromkeys([*receiving, *due])
        unknown: set[Follower] = set()
        if not checked:
            return unknown
        standings = access.standings_of({each.pair for each in checked})
        for each in checked:
            each.checked_at = now
            standing = standings.get(each.pair)
            stale = now - each.authenticated_at > AUTHENTICATED_EVERY_S
            if standing is not None and standing == each.standing and not stale:
                continue
            try:
                allowed = standing is not None and self._is_allowed(each)
            except Error:
                raise
            except Exception as error:
                self._report(each, error)
                unknown.add(each)
                continue
            if not allowed:
                each.end(self._texts.not_allowed)
            else:
                each.standing, each.authenticated_at = standing, now
        return unknown

    def _is_allowed(self, follower: Follower) -> bool:
        """Two queries."""
        try:
            user = follower.bearer.authenticate()
            access.require(user, follower.organization_id, follower.role)
        except APIException:
            return False
        return True
