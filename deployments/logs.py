"""Reads the log of a replica: from its runtime while its container exists, then as it was kept."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from threading import Lock
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from rest_framework.exceptions import APIException, Throttled

from clusters.models import Node, Runtime
from clusters.secrets import Unsealable
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentLog, Status
from deployments.placements import node_ids
from deployments.runtimes.base import Key, RuntimeUnavailable, one_line
from mlops_platform.api.errors import Invalid

FOLLOW_S = 900  # longest time of one follower: a client that has left unseen frees its slot by then
READ_STATUS_EVERY_S = 0.5
WAITING = (Status.QUEUED, Status.STARTING)


class _Followers:
    """Counts the followers in this process: each one occupies a thread of the web server.

    At most half of the threads follow, so that the others serve other requests.
    """

    def __init__(self) -> None:
        self._count, self._lock = 0, Lock()

    def enter(self) -> bool:
        with self._lock:
            if self._count >= max(settings.WEB_THREADS // 2, 1):
                return False
            self._count += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._count -= 1


_followers = _Followers()


class EndpointUnavailable(APIException):
    status_code = 503
    default_code = "endpoint_unavailable"
    retry_after_s = 5


class LogQuery(NamedTuple):
    """Which part of the log; `attempt` None is the present attempt, or the last."""

    attempt: int | None = None
    replica: int = 0
    tail: int | None = None  # lines from the end
    since: datetime | None = None  # only while the container exists
    follow: bool = False


def output_of(deployment: Deployment, query: LogQuery) -> Iterator[bytes]:
    """Pieces of the log; none for a deployment that never ran, or is in a simulated cluster.

    Raises before the first piece: 400 for a replica or an attempt that cannot exist, 429 for one
    follower too many, 503 where the endpoint does not answer. An endpoint that goes away later ends
    the stream.
    """
    _check(deployment, query)
    if not query.follow:
        return _with_first_piece(_pieces(deployment, query))
    if not _followers.enter():
        raise Throttled(wait=10, detail="Too many follow logs just now.")
    try:
        return _Followed(_followed_pieces(deployment, query))
    except BaseException:
        _followers.leave()
        raise


def _check(deployment: Deployment, query: LogQuery) -> None:
    errors = {}
    if query.replica >= deployment.replicas:
        errors["replica"] = f"Below {deployment.replicas}: they are counted from 0."
    if query.attempt is not None and query.attempt > deployment.attempt:
        errors["attempt"] = f"It has had {deployment.attempt} so far."
    if errors:
        raise Invalid(errors)


def _followed_pieces(row: Deployment, query: LogQuery) -> Iterator[bytes]:
    """The pieces; for a deployment that waits, they come once it runs."""
    if query.attempt is not None or row.status not in WAITING:
        return _pieces(row, query)
    # Raises where the endpoint is away, before the response begins.
    _with_first_piece(_pieces(row, query._replace(follow=False, tail=0)))
    return _pieces_once_running(row, query)


def _pieces_once_running(row: Deployment, query: LogQuery) -> Iterator[bytes]:
    yield from _pieces(_await_start(row), query)


def _pieces(row: Deployment, query: LogQuery) -> Iterator[bytes]:
    """The call to the endpoint has been made once this returns."""
    attempt = query.attempt or row.attempt
    kept = DeploymentLog.objects.filter(
        deployment=row, attempt=attempt, replica=query.replica
    ).first()
    if kept is not None:
        return iter([_last_lines(bytes(kept.output), query.tail)])
    simulated = row.cluster.runtime == Runtime.SIMULATED
    if simulated or attempt != row.attempt or query.replica >= len(node_ids(row)):
        return iter(())
    node = Node.objects.select_related("endpoint").filter(pk=node_ids(row)[query.replica]).first()
    if node is None or node.endpoint is None:
        return iter(())
    key = Key(str(row.pk), attempt, query.replica)
    with _answering(node):
        runtime = runtime_connections.connect(row.cluster, node.endpoint, node.name)
        if query.follow:
            _give_back_connection()
        pieces = runtime.logs(key, tail=query.tail, since=query.since, follow=query.follow)
    return _read(node, pieces)


def _read(node: Node, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _answering(node):
        yield from pieces


@contextmanager
def _answering(node: Node) -> Iterator[None]:
    try:
        yield
    except (RuntimeUnavailable, Unsealable) as error:
        # Of a tenant's endpoint no more: see clusters/endpoints/error_texts.py.
        trusted = node.endpoint is None or node.endpoint.trusted
        cause = f": {one_line(error)}" if trusted else "."
        raise EndpointUnavailable(f"{node.name} does not answer{cause}") from None


def _await_start(row: Deployment) -> Deployment:
    give_up = time.monotonic() + FOLLOW_S
    while row.status in WAITING and time.monotonic() < give_up:
        _give_back_connection()
        time.sleep(READ_STATUS_EVERY_S)
        fresh = Deployment.objects.select_related("cluster").filter(pk=row.pk).first()
        if fresh is None:
            break
        row = fresh
    return row


def _give_back_connection() -> None:
    """A follower would keep its database connection for minutes."""
    if not connection.in_atomic_block:
        connection.close()


def _with_first_piece(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Fetches the first piece now, so that an error is raised before the response begins."""
    first = next(pieces, b"")
    return chain([first], pieces)


class _Followed:
    """The pieces of a follower; leaves the followers when the response is closed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._open = pieces, True
        self._until = time.monotonic() + FOLLOW_S

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if time.monotonic() > self._until:
            raise StopIteration
        try:
            return next(self._pieces)
        except APIException:  # the response has begun: it can only end
            raise StopIteration from None

    def close(self) -> None:
        if self._open:
            self._open = False
            _followers.leave()
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()


def _last_lines(output: bytes, count: int | None) -> bytes:
    if count is None:
        return output
    return b"".join(output.splitlines(keepends=True)[-count:]) if count else b""
