"""Reads the log of a replica from its endpoint, in a worker of the runtimes' queue."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

from clusters.models import Node
from deployments import runtime_connections
from deployments.log_selection import LogQuery, Selection
from deployments.models import Deployment
from deployments.output.errors import EndpointUnavailable
from deployments.runtimes.base import Key, LimitExceeded, Runtime, RuntimeUnavailable, one_line
from deployments.runtimes.streams import to_whole_letter, whole_letters
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


def connect(node: Node, row: Deployment) -> Runtime:
    """The runtime at a node, which is not called yet. Raises EndpointUnavailable. One query."""
    assert node.endpoint is not None
    with _answering(node):
        return runtime_connections.connect(row.cluster, node.endpoint, node.name)


def pieces_at(runtime: Runtime, node: Node, row: Deployment, query: LogQuery) -> Iterator[bytes]:
    """The lines that are asked for, in pieces; an empty one where a second has passed without any,
    if the log is followed.

    Raises EndpointUnavailable, now or in between. The endpoint has been called once this returns,
    and where the log is not followed its first piece has come. No query.
    """
    pieces = _pieces(runtime, node, row, query)
    return pieces if query.follow else _with_first_piece(pieces)


def _pieces(runtime: Runtime, node: Node, row: Deployment, query: LogQuery) -> Iterator[bytes]:
    key = Key(str(row.pk), query.attempt or row.attempt, query.replica)
    with _answering(node):
        pieces = runtime.logs(
            key,
            tail=query.runtime_tail,
            since=query.since,
            follow=query.follow,
            timestamps=query.picks_lines,
            within_s=FOLLOW_S if query.follow else READ_S,
        )
    if not query.picks_lines:
        read = _read(node, whole_letters(pieces))
        return read if query.follow else _limited(read, CUT)
    selection = Selection(query, tail=None if query.runtime_tail is not None else query.tail)
    if query.follow:
        return _read(node, _picked(pieces, selection))
    picked = _picked(_within_limits(pieces, selection), selection)
    return _limited(_read(node, picked), CUT_PICKING, lambda: selection.cut)


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
