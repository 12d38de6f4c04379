"""Reads the log of a replica: from its runtime while its container exists, then as it was kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, zip_longest

from rest_framework.exceptions import APIException, Throttled

from accounts.api.requests import Bearer
from clusters.models import Node, Runtime
from deployments import runtime_connections
from deployments.log_selection import LogQuery, Selection
from deployments.models import Deployment, DeploymentLog
from deployments.queries.deployments import deployment_for
from deployments.queries.placements import node_ids
from deployments.runtimes.base import Key, LimitExceeded, RuntimeUnavailable, one_line
from deployments.runtimes.log_lines import unpacked
from deployments.runtimes.streams import to_whole_letter, whole_letters
from mlops_platform.api.answers.streams import Stream
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.api.throttling.slots import Slots
from mlops_platform.sealing import Unsealable

FOLLOW_S = 900.0
READ_S = 30.0
READ_BYTES = 16 * 1024 * 1024
CUT = b"\n[cut: a log that is not followed is read for 30 s and up to 16 MiB; ask for a tail]\n"
PICKED_BYTES = 64 * 1024 * 1024  # of a log whose lines are picked
CUT_PICKING = (
    b"\n[cut: lines are picked for 30 s, out of 64 MiB, and up to 16 MiB; "
    b"go on with since, until or a tail]\n"
)

# In each process of the web server. A reader, and a follower of what runs, occupies a thread.
FOLLOWERS = Slots(all=64, organization=16, endpoint=8, user=4)
READERS = Slots(all=16, organization=8, endpoint=4, user=4)


class EndpointUnavailable(APIException):
    status_code = 503
    default_code = "endpoint_unavailable"
    wait = 4  # Retry-After: 5


class KeptWithoutTimes(Conflict):
    default_code = "kept_without_times"
    default_detail = "This output was kept without times: ask without timestamps and until."


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

    Empty for a deployment that never ran, or is in a simulated cluster. Raises 409 where a kept log
    has no times and the query needs them. Up to two queries.
    """
    attempt = query.attempt or row.attempt
    kept = DeploymentLog.objects.filter(
        deployment=row, attempt=attempt, replica=query.replica
    ).first()
    if kept is not None:
        return _picked_of(kept, query)
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
            _with_first_piece(_pieces(row, LogQuery(query.attempt, query.replica, tail=0)))
            return None
        pieces = _pieces(row, query)
        return pieces if query.follow else _with_first_piece(pieces)

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
            tail=query.runtime_tail,
            since=query.since,
            follow=query.follow,
            timestamps=query.picks_lines,
            within_s=FOLLOW_S if query.follow else READ_S,
        )
    if not query.picks_lines:
        read = _read(source, whole_letters(pieces))
        return read if query.follow else _limited(read, CUT)
    selection = Selection(query, tail=None if query.runtime_tail is not None else query.tail)
    if query.follow:
        return _read(source, _picked(pieces, selection))
    picked = _picked(_within_limits(pieces, selection), selection)
    return _limited(_read(source, picked), CUT_PICKING, lambda: selection.cut)


def _read(node: Node, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _answering(node):
        yield from pieces


def _picked(pieces: Iterator[bytes], selection: Selection) -> Iterator[bytes]:
    """The pieces' lines that are selected; an empty piece after a second without one."""
    said = time.monotonic()
    for piece in pieces:
        found = selection.feed(piece)
        if found or not piece or time.monotonic() > said + 1:
            yield found
            said = time.monotonic()
        if selection.over:
            break
    yield selection.end()


def _within_limits(pieces: Iterator[bytes], selection: Selection) -> Iterator[bytes]:
    """The pieces, up to PICKED_BYTES and READ_S, of which the answer may be little."""
    until, left = time.monotonic() + READ_S - 2, PICKED_BYTES
    try:
        for piece in pieces:
            yield piece
            left -= len(piece)
            if left < 0 or time.monotonic() > until:
                selection.cut = True
                return
    except LimitExceeded:
        selection.cut = True


def _limited(
    pieces: Iterator[bytes], note: bytes, is_cut: Callable[[], bool] = lambda: False
) -> Iterator[bytes]:
    """The pieces, cut after READ_BYTES and READ_S: an engine may drip for ever."""
    until, left = time.monotonic() + READ_S - 1, READ_BYTES
    for piece in pieces:
        yield piece if len(piece) <= left else to_whole_letter(piece[:left])
        left -= len(piece)
        if left < 0 or time.monotonic() > until:
            yield note
            return
    if is_cut():
        yield note


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


def _picked_of(kept: DeploymentLog, query: LogQuery) -> bytes:
    output = bytes(kept.output)
    if not query.picks_lines:
        return _last_lines(output, query.tail)
    if output and kept.times is None and (query.timestamps or query.until is not None):
        raise KeptWithoutTimes
    selection = Selection(query, tail=query.tail, stamped=kept.times is not None)
    if kept.times is not None:
        output = _stamped(output, bytes(kept.times))
    return selection.feed(output) + selection.end()


def _stamped(output: bytes, times: bytes) -> bytes:
    stamps = [stamp + b" " for stamp in unpacked(times)]
    lines = output.split(b"\n")
    return b"\n".join(stamp + line for stamp, line in zip_longest(stamps, lines, fillvalue=b""))


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
