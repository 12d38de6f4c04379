"""Asks a worker of the runtimes' queue for a log, and reads its answer: the part of `web`."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from threading import Event, Lock, Thread
from typing import Any, NoReturn
from uuid import uuid4

from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled

from deployments.log_selection import LogQuery
from deployments.output import errors
from deployments.output.errors import EndpointUnavailable, OutputUnavailable
from deployments.output.exchange import (
    LEASE_EVERY_S,
    LEASE_S,
    MOST_PARTS,
    MOST_REQUESTS,
    REQUESTS,
    REQUESTS_S,
    SILENT_S,
    WORKERS,
    Failure,
    Kind,
    Request,
    entry_id,
    number_of,
)
from deployments.output.kept import KeptWithoutTimes
from mlops_platform.coordination.redis import redis_client, waiting_client

WAIT_S = 1.0  # for a part; then the caller may leave
TAKEN_S = 5.0  # for a worker to take the request
NO_WORKER_S = 2.0  # the same, where none has said lately that it takes any
RETRY_S = 0.2  # while Redis is away
LOST = b"\n[cut: the worker that read this log has ended, or Redis is away; ask again]\n"


class Reading(Iterator[bytes]):
    """The pieces of a log; an empty one where nothing has come for WAIT_S. Close it in any case.

    A worker that ends in between, or a Redis that goes away, ends the pieces with LOST.
    """

    def __init__(self, deployment_id: str, query: LogQuery) -> None:
        """Returns once the log is open at its endpoint; the first piece may have come.

        Raises OutputUnavailable, EndpointUnavailable or Throttled.
        """
        self._request = Request(uuid4().hex, deployment_id, query)
        self._parts: deque[tuple[str, bytes]] = deque()
        self._number = 0  # of the last part that has come
        self._is_open = self._over = False
        try:
            self._await_opening(self._send())
        except RedisError:
            self.close()
            raise OutputUnavailable(errors.REDIS_AWAY) from None
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            part = self._next_part()
        except (RedisError, _LostError):
            self._over = True
            return LOST
        if part is None:
            return b""
        kind, data = part
        if kind == Kind.ENDED:
            self._over = True
        elif kind == Kind.FAILED:
            self._over = True
            failure, sentence = _failure(data)
            if failure in (Failure.WORKER, Failure.INTERNAL):
                return LOST
            raise _error(failure, sentence)
        return data if kind == Kind.TEXT else b""

    def is_empty(self) -> bool:
        """Whether the log has ended without a piece. Waits for the first one for WAIT_S at most;
        an error is the next piece's."""
        try:
            part = self._next_part()
        except (RedisError, _LostError):
            return False
        if part is not None:
            self._parts.appendleft(part)
        return part is not None and part[0] == Kind.ENDED

    def close(self) -> None:
        """Let the worker know that no one reads any more."""
        self._over = True
        leases.remove(self._request.lease)
        with suppress(RedisError):  # then the lease ends by itself
            redis_client().delete(self._request.lease, self._request.answer)

    def _send(self) -> float:
        """Sends the request; returns how long to wait for a worker that takes it, in seconds."""
        request = self._request
        with redis_client().pipeline(transaction=False) as pipe:
            pipe.llen(REQUESTS)
            pipe.exists(WORKERS)
            waiting, has_workers = pipe.execute()
            if waiting >= MOST_REQUESTS:
                raise OutputUnavailable(errors.ALL_BUSY)
            pipe.set(request.lease, "1", ex=LEASE_S)
            pipe.rpush(REQUESTS, request.packed())
            pipe.expire(REQUESTS, REQUESTS_S)
            pipe.execute()
        leases.add(request.lease)
        return TAKEN_S if has_workers else NO_WORKER_S

    def _await_opening(self, taken_s: float) -> None:
        self._heard_at = time.monotonic()
        give_up = self._heard_at + taken_s
        while not self._is_open:
            try:
                part = self._next_part()
            except _LostError:
                raise OutputUnavailable from None
            if part is None and not self._number and time.monotonic() > give_up:
                self._withdraw()
            if part is not None and part[0] == Kind.FAILED:
                raise _error(*_failure(part[1]))
            self._is_open = part is not None and part[0] == Kind.OPENED

    def _withdraw(self) -> NoReturn:
        """Takes the request back, which no worker has taken."""
        was_waiting = redis_client().lrem(REQUESTS, 1, self._request.packed())
        has_workers = was_waiting and redis_client().exists(WORKERS)
        raise OutputUnavailable(errors.ALL_BUSY if has_workers else errors.NO_WORKER)

    def _next_part(self) -> tuple[str, bytes] | None:
        """The next part; None where none comes for WAIT_S. Raises RedisError while Redis is away,
        and _LostError where nothing has come for SILENT_S, or a part is missing."""
        if not self._parts:
            try:
                self._read()
            except RedisError:
                if self._is_silent():
                    raise
                Event().wait(RETRY_S)
                return None
        if self._parts:
            return self._parts.popleft()
        if self._number and self._is_silent():
            raise _LostError
        return None

    def _is_silent(self) -> bool:
        return time.monotonic() - self._heard_at > SILENT_S

    def _read(self) -> None:
        """One round trip: removes the parts that were read before, and waits for the next ones."""
        stream = self._request.answer
        with waiting_client(WAIT_S).pipeline(transaction=False) as pipe:
            pipe.xtrim(stream, minid=entry_id(self._number + 1), approximate=False)
            after: dict[Any, Any] = {stream: entry_id(self._number)}
            pipe.xread(after, count=MOST_PARTS, block=round(WAIT_S * 1000))
            found = pipe.execute()[-1]
        for _, entries in found.items() if isinstance(found, dict) else found or ():
            for number, (entry, fields) in zip(count(self._number + 1), entries, strict=False):
                if number_of(entry.decode()) != number:
                    raise _LostError
                self._parts.append((fields[b"kind"].decode(), fields[b"data"]))
                self._number, self._heard_at = number, time.monotonic()


class _LostError(Exception):
    """No worker answers any more."""


def _failure(data: bytes) -> tuple[str, str]:
    failure, _, sentence = data.decode().partition(" ")
    return failure, sentence


def _error(failure: str, sentence: str) -> Exception:
    if failure == Failure.ENDPOINT:
        return EndpointUnavailable(sentence)
    if failure == Failure.TOO_MANY:
        return Throttled(wait=10, detail=sentence)
    if failure == Failure.NO_TIMES:
        return KeptWithoutTimes()
    if failure == Failure.WORKER:
        return OutputUnavailable()
    return RuntimeError(sentence)


class Leases:
    """Renews the leases of all readings of this process, in a thread that runs while there are any:
    a reader whose client takes nothing for a while asks Redis for nothing."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._leases: set[str] = set()
        self._thread: Thread | None = None

    def add(self, lease: str) -> None:
        with self._lock:
            self._leases.add(lease)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()

    def remove(self, lease: str) -> None:
        with self._lock:
            self._leases.discard(lease)

    def _run(self) -> None:
        while True:
            Event().wait(LEASE_EVERY_S)
            with self._lock:
                leases = list(self._leases)
                if not leases:
                    self._thread = None
                    return
            with suppress(RedisError), redis_client().pipeline(transaction=False) as pipe:
                for each in leases:
                    pipe.expire(each, LEASE_S)
                pipe.execute()


leases = Leases()
