"""What a replica wrote: from its runtime while it is there, from what was kept afterwards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from threading import BoundedSemaphore
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

FOLLOW_S = 900  # so long one request may follow: who has left unseen gives its place back by then
ASK_EVERY_S = 0.5  # whether it has started
WAITING = (Status.QUEUED, Status.STARTING)

# Each follower keeps a thread of the web server busy, and others want to be served as well.
_followers = BoundedSemaphore(max(settings.WEB_THREADS // 2, 1))


class EndpointUnavailable(APIException):
    status_code = 503
    default_code = "endpoint_unavailable"
    retry_after_s = 5


class Wanted(NamedTuple):
    """Which part of the output; `attempt` None is the present one, or the last."""

    attempt: int | None = None
    replica: int = 0
    tail: int | None = None  # lines from the end
    since: datetime | None = None  # only while its container is there
    follow: bool = False


def output_of(deployment: Deployment, wanted: Wanted) -> Iterator[bytes]:
    """Pieces of it; nothing where it never ran, or runs in a simulated cluster.

    400 for a replica or an attempt that cannot be, 429 where too many follow already, 503 where its
    endpoint does not answer: all of them before the first piece. An endpoint that goes away while
    it is followed ends the stream.
    """
    _refuse(deployment, wanted)
    if not wanted.follow:
        return _begun(_pieces(deployment, wanted))
    if not _followers.acquire(blocking=False):
        raise Throttled(wait=10, detail="Too many follow logs just now.")
    try:
        return _Followed(_to_follow(deployment, wanted))
    except BaseException:
        _followers.release()
        raise


def _refuse(deployment: Deployment, wanted: Wanted) -> None:
    faults = {}
    if wanted.replica >= deployment.replicas:
        faults["replica"] = f"Below {deployment.replicas}: they are counted from 0."
    if wanted.attempt is not None and wanted.attempt > deployment.attempt:
        faults["attempt"] = f"It has had {deployment.attempt} so far."
    if faults:
        raise Invalid(faults)


def _to_follow(row: Deployment, wanted: Wanted) -> Iterator[bytes]:
    """As `_pieces`; whoever follows one that waits wants to see its first line."""
    if wanted.attempt is not None or row.status not in WAITING:
        return _pieces(row, wanted)
    _begun(_pieces(row, wanted._replace(follow=False, tail=0)))  # whether its endpoint is there
    return _later(row, wanted)


def _later(row: Deployment, wanted: Wanted) -> Iterator[bytes]:
    yield from _pieces(_once_it_runs(row), wanted)


def _pieces(row: Deployment, wanted: Wanted) -> Iterator[bytes]:
    """Whoever has them has been asked once this returns."""
    attempt = wanted.attempt or row.attempt
    kept = DeploymentLog.objects.filter(
        deployment=row, attempt=attempt, replica=wanted.replica
    ).first()
    if kept is not None:
        return iter([_last_lines(bytes(kept.output), wanted.tail)])
    simulated = row.cluster.runtime == Runtime.SIMULATED
    if simulated or attempt != row.attempt or wanted.replica >= len(node_ids(row)):
        return iter(())
    node = Node.objects.select_related("endpoint").filter(pk=node_ids(row)[wanted.replica]).first()
    if node is None or node.endpoint is None:
        return iter(())
    key = Key(str(row.pk), attempt, wanted.replica)
    with _answering(node):
        runtime = runtime_connections.connect(row.cluster, node.endpoint, node.name)
        if wanted.follow:
            _give_back_connection()
        pieces = runtime.logs(key, tail=wanted.tail, since=wanted.since, follow=wanted.follow)
    return _read(node, pieces)


def _read(node: Node, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _answering(node):
        yield from pieces


@contextmanager
def _answering(node: Node) -> Iterator[None]:
    try:
        yield
    except (RuntimeUnavailable, Unsealable) as error:
        raise EndpointUnavailable(f"{node.name} does not answer: {one_line(error)}") from None


def _once_it_runs(row: Deployment) -> Deployment:
    give_up = time.monotonic() + FOLLOW_S
    while row.status in WAITING and time.monotonic() < give_up:
        _give_back_connection()
        time.sleep(ASK_EVERY_S)
        fresh = Deployment.objects.select_related("cluster").filter(pk=row.pk).first()
        if fresh is None:
            break
        row = fresh
    return row


def _give_back_connection() -> None:
    """Following takes its time, and PostgreSQL has only so many."""
    if not connection.in_atomic_block:
        connection.close()


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same, its first piece fetched already: what is wrong is found while one can say so."""
    first = next(pieces, b"")
    return chain([first], pieces)


class _Followed:
    """Pieces that are followed; the place is given back when the response is closed."""

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
        except APIException:  # the answer has begun: it can only end
            raise StopIteration from None

    def close(self) -> None:
        if self._open:
            self._open = False
            _followers.release()
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()


def _last_lines(output: bytes, count: int | None) -> bytes:
    if count is None:
        return output
    return b"".join(output.splitlines(keepends=True)[-count:]) if count else b""
