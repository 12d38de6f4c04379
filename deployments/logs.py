"""Reads the log of a replica: from its runtime while its container exists, then as it was kept."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from rest_framework.exceptions import APIException, Throttled

from accounts.api.requests import Bearer
from clusters.models import Node, Runtime
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentLog, Status
from deployments.queries.deployments import deployment_for
from deployments.queries.placements import node_ids
from deployments.runtimes.base import Key, RuntimeUnavailable, one_line
from deployments.runtimes.streams import to_whole_letter, whole_letters
from mlops_platform.api.answers.streams import Stream
from mlops_platform.api.errors import Invalid
from mlops_platform.api.throttling.slots import Slots
from mlops_platform.sealing import Unsealable

FOLLOW_S = 900.0
READ_S = 30.0
READ_BYTES = 16 * 1024 * 1024
CUT = b"\n[cut: a log that is not followed is read for 30 s and up to 16 MiB; ask for a tail]\n"
WAITING = (Status.QUEUED, Status.STARTING)

# In each process of the web server. A reader, and a follower of what runs, occupies a thread.
FOLLOWERS = Slots(all=64, organization=16, endpoint=8, user=4)
READERS = Slots(all=16, organization=8, endpoint=4, user=4)


class EndpointUnavailable(APIException):
    status_code = 503
    default_code = "endpoint_unavailable"
    wait = 4  # Retry-After: 5


class LogQuery(NamedTuple):
    """Which part of the log; `attempt` None is the present attempt, or the last."""

    attempt: int | None = None
    replica: int = 0
    tail: int | None = None  # lines from the end
    since: datetime | None = None  # only while the container exists
    follow: bool = False

    def waits_for(self, row: Deployment) -> bool:
        """Whether the log is followed from a start that is still to come."""
        return self.follow and self.attempt is None and row.status in WAITING


def check(deployment: Deployment, query: LogQuery) -> None:
    """Raises 400 for a replica or an attempt that cannot exist."""
    errors = {}
    if query.replica >= deployment.replicas:
        errors["replica"] = f"Below {deployment.replicas}: they are counted from 0."
    if query.attempt is not None and query.attempt > deployment.attempt:
        errors["attempt"] = f"It has had {deployment.attempt} so far."
    if errors:
        raise Invalid(errors)


def source_of(row: Deployment, query: LogQuery) -> bytes | Node:
    """The log as it was kept, or the node whose endpoint has it.

    Empty for a deployment that never ran, or is in a simulated cluster. Up to two queries.
    """
    attempt = query.attempt or row.attempt
    kept = DeploymentLog.objects.filter(
        deployment=row, attempt=attempt, replica=query.replica
    ).first()
    if kept is not None:
        return _last_lines(bytes(kept.output), query.tail)
    simulated = row.cluster.runtime == Runtime.SIMULATED
    if simulated or attempt != row.attempt or query.replica >= len(node_ids(row)):
        return b""
    node = Node.objects.select_related("endpoint").filter(pk=node_ids(row)[query.replica]).first()
    return b"" if node is None or node.endpoint is None else node


class LogStream(Stream):
    """The log of a replica that is at its endpoint, or, followed, will be.

    Before the first piece it raises 429 where all slots are taken, and 503 where the endpoint does
    not answer. An endpoint that goes away later ends the stream.
    """

    def __init__(
        self, row: Deployment, query: LogQuery, source: Node | None, bearer: Bearer
    ) -> None:
        """`source` is None for a deployment that waits."""
        self._row, self._query, self._bearer = row, query, bearer
        self.longest_s = min(FOLLOW_S if query.follow else READ_S, bearer.expires_in_s)
        self._slots = FOLLOWERS if query.follow else READERS
        self._keys = {
            "user": str(bearer.user_id),
            "organization": str(row.cluster.organization_id),
        }
        if source is not None:
            self._keys["endpoint"] = str(source.endpoint_id)

    def enter(self) -> None:
        if not self._slots.acquire(self._keys):
            verb = "follow" if self._query.follow else "read"
            raise Throttled(wait=10, detail=f"You, or others, {verb} too many logs just now.")

    def leave(self) -> None:
        self._slots.release(self._keys)

    def open(self) -> Iterator[bytes] | None:
        row, query = self._row, self._query
        if query.waits_for(row):
            # Raises where the endpoint is away, before the response begins.
            _with_first_piece(_pieces(row, query._replace(follow=False, tail=0)))
            return None
        if query.follow:
            return _pieces(row, query)
        return _with_first_piece(_limited(_pieces(row, query)))

    def is_ready(self) -> bool:
        """One query."""
        fresh = Deployment.objects.select_related("cluster").filter(pk=self._row.pk).first()
        if fresh is not None:
            self._row = fresh
        return fresh is None or not self._query.waits_for(fresh)

    def is_allowed(self) -> bool:
        """Two queries."""
        deployment_for(self._bearer.authenticate(), self._row.pk)
        return True


def _pieces(row: Deployment, query: LogQuery) -> Iterator[bytes]:
    """The call to the endpoint has been made once this returns."""
    source = source_of(row, query)
    if isinstance(source, bytes):
        return iter([source])
    assert source.endpoint is not None
    key = Key(str(row.pk), query.attempt or row.attempt, query.replica)
    with _answering(source):
        runtime = runtime_connections.connect(row.cluster, source.endpoint, source.name)
        pieces = runtime.logs(
            key,
            tail=query.tail,
            since=query.since,
            follow=query.follow,
            within_s=FOLLOW_S if query.follow else READ_S,
        )
    return _read(source, pieces)


def _read(node: Node, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _answering(node):
        yield from whole_letters(pieces)


def _limited(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, cut after READ_BYTES and READ_S: an engine may drip for ever."""
    until, left = time.monotonic() + READ_S - 1, READ_BYTES
    for piece in pieces:
        yield piece if len(piece) <= left else to_whole_letter(piece[:left])
        left -= len(piece)
        if left < 0 or time.monotonic() > until:
            yield CUT
            return


@contextmanager
def _answering(node: Node) -> Iterator[None]:
    try:
        yield
    except (RuntimeUnavailable, Unsealable) as error:
        # Of a tenant's endpoint no more: see clusters/endpoints/error_texts.py.
        trusted = node.endpoint is None or node.endpoint.trusted
        cause = f": {one_line(error)}" if trusted else "."
        raise EndpointUnavailable(f"{node.name} does not answer{cause}") from None


def _with_first_piece(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Fetches the first piece now, so that an error is raised before the response begins."""
    first = next(pieces, b"")
    return chain([first], pieces)


def _last_lines(output: bytes, count: int | None) -> bytes:
    """Lines end in a newline, as for the engines: a carriage return only redraws one."""
    if count is None:
        return output
    start = len(output) - output.endswith(b"\n")
    for _ in range(count):
        start = output.rfind(b"\n", 0, start)
        if start < 0:
            return output
    return output[start + 1 :] if count else b""
