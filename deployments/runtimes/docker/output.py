"""Streams of an engine: the logs of containers, and the events of their lives."""

import json
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, NamedTuple

import requests

from deployments.runtimes.base import AnswerTooLarge, RuntimeUnavailable
from deployments.runtimes.docker.client import (
    LONGEST,
    Answered,
    Engine,
    Quiet,
    errors_as_unavailable,
    lines,
    pieces,
    ticking,
)
from deployments.runtimes.docker.containers import CLUSTER, DEPLOYMENT
from deployments.runtimes.limits import parsed
from deployments.runtimes.log_lines import LONGEST_LINE, split_stamp
from deployments.runtimes.streams import paced

TICK_S = 1.0
LOG_S, LOG_BYTES = 15.0, 64 * 1024 * 1024  # of a log as it is now
FOLLOW_S = 3600.0
EVENTS_S, EVENTS_BYTES = 3600.0, 64 * 1024 * 1024  # of one request; then the next one
SILENT_S = 3600.0  # a container may write nothing for long
LAST_LINE_BYTES = 64 * 1024
QUIET_S = 60.0  # without any event; the next request then shows a dead machine
EVENTS_PER_S = 500
EVENTS = (
    "start",
    "die",
    "oom",
    "health_status",
    "pause",
    "unpause",
    "destroy",
)
HEADER = struct.Struct(">BxxxL")  # which of the two streams, and how many bytes


def logs(
    engine: Engine,
    container_id: str,
    tail: int | None,
    since: datetime | None,
    follow: bool,
    *,
    timestamps: bool = False,
    within_s: float | None = None,
    most_bytes: int | None = None,
) -> Iterator[bytes]:
    """Both streams. While following, a piece may be empty, so that the reader may leave."""
    params: dict[str, Any] = {"stdout": 1, "stderr": 1, "follow": int(follow)}
    params["tail"] = "all" if tail is None else tail
    params["timestamps"] = int(timestamps)
    if since is not None:
        params["since"] = f"{since.timestamp():.6f}"
    answer = engine.stream(
        "get",
        f"/containers/{container_id}/logs",
        SILENT_S if follow else QUIET_S,
        within_s=within_s or (FOLLOW_S if follow else LOG_S),
        most_bytes=most_bytes or LOG_BYTES,
        params=params,
    )
    body = ticking(answer, TICK_S) if follow else pieces(answer)
    return stamped(body) if timestamps else demultiplexed(body)


def last_line(engine: Engine, container_id: str) -> str:
    """Of a container's log as it is now; empty where the log is gone, or the line is long."""
    line = b""
    with suppress(Answered, AnswerTooLarge):
        for piece in logs(engine, container_id, 1, None, follow=False, most_bytes=LAST_LINE_BYTES):
            line += piece
    return line.decode(errors="replace")


def demultiplexed(body: Iterable[bytes | None]) -> Iterator[bytes]:
    """The frames' contents, wherever pieces cut them; an empty piece where nothing comes."""
    for found in _frames(body):
        written = b"".join(content for _, content in found)
        if written or not found:
            yield written


def stamped(body: Iterable[bytes | None]) -> Iterator[bytes]:
    """Lines that begin with their time, each whole; an empty piece where nothing comes.

    The engine cuts a line that is longer than 16 KiB into frames, writes the time into each, and
    may send one of the other stream in between.
    """
    lines = {stream: _StampedLine() for stream in (1, 2)}
    unfinished: _StampedLine | None = None  # its beginning has been yielded
    for found in _frames(body):
        written = bytearray()
        for stream, content in found:
            line = lines[2 if stream == 2 else 1]
            line.add(content)
            if not line.is_whole() and len(line.text) <= LONGEST_LINE:
                continue
            if unfinished is not None and unfinished is not line:
                unfinished.stamp, written = unfinished.time, written + b"\n"
            written += line.take()
            unfinished = None if written.endswith(b"\n") else line
        if written or not found:
            yield bytes(written)
    if rest := [line.take() for line in lines.values() if line.text]:
        yield b"\n".join(rest)


class _StampedLine:
    """The line that a stream writes just now."""

    def __init__(self) -> None:
        self.time = b""  # with the space after it
        self.stamp = b""  # the time, where it is still to be written
        self.text = bytearray()
        self._begins = True

    def add(self, content: bytes) -> None:
        stamp, text = split_stamp(content)
        if self._begins:
            self.time = self.stamp = stamp
        self.text += text
        self._begins = text.endswith(b"\n")

    def is_whole(self) -> bool:
        return self._begins

    def take(self) -> bytes:
        taken = self.stamp + bytes(self.text)
        self.stamp = b""
        self.text.clear()
        return taken


def _frames(body: Iterable[bytes | None]) -> Iterator[list[tuple[int, bytes]]]:
    """The frames that each piece completes, with their streams; none where nothing comes."""
    buffer = bytearray()
    for piece in body:
        if piece is None:
            yield []
            continue
        buffer += piece
        found: list[tuple[int, bytes]] = []
        at = 0
        while len(buffer) - at >= HEADER.size:
            stream, length = HEADER.unpack_from(buffer, at)
            if length > LONGEST:
                raise RuntimeUnavailable("The engine sends what is no container's log.")
            end = at + HEADER.size + length
            if len(buffer) < end:
                break
            found.append((stream, bytes(buffer[at + HEADER.size : end])))
            at = end
        del buffer[:at]
        if found:
            yield found


def changes(
    engine: Engine, cluster_id: str, stop: Event, quiet_s: float = QUIET_S
) -> Iterator[str | None]:
    """Deployment ids of this cluster's events; None once the stream is open, and now and then."""
    filters = {"type": ["container"], "label": [f"{CLUSTER}={cluster_id}"], "event": EVENTS}
    params: dict[str, Any] = {"filters": json.dumps(filters)}
    while not stop.is_set():
        engine.call(lambda client: client.ping())  # raises at once where the engine is away
        events = engine.stream(
            "get",
            "/events",
            quiet_s,
            within_s=EVENTS_S,
            most_bytes=EVENTS_BYTES,
            params=params,
        )
        params.setdefault("since", date_of(events))
        yield None
        try:
            with closing(ticking(events, TICK_S)) as body:
                for line in paced(lines(body), EVENTS_PER_S):
                    if stop.is_set():
                        return
                    if not line:
                        yield None
                        continue
                    event = _event(line)
                    params["since"] = event.at
                    if event.action == "die":
                        _await_end(engine, event.container_id)
                    yield event.deployment_id
        except Quiet:
            continue  # from the last event on; an event that comes twice does no harm
        raise RuntimeUnavailable("The engine has ended the stream of events.")


class _Event(NamedTuple):
    action: str
    container_id: str
    deployment_id: str
    at: str  # in the engine's seconds


@errors_as_unavailable()
def _event(line: bytes) -> _Event:
    event = parsed(line)
    actor = event["Actor"]
    seconds, nanoseconds = divmod(event["timeNano"], 10**9)
    return _Event(
        str(event["Action"]),
        str(actor["ID"]),
        str(actor["Attributes"][DEPLOYMENT]),
        f"{seconds}.{nanoseconds:09d}",
    )


def _await_end(engine: Engine, container_id: str) -> None:
    """An engine reports an end before its lists contain it; an inspection waits until they do."""
    with suppress(RuntimeUnavailable):  # gone already, or stuck: a full pass finds out
        engine.call(lambda client: client.inspect_container(container_id))


def date_of(response: requests.Response) -> str:
    """When the answer began, by the engine's clock."""
    date = response.headers.get("Date")
    return f"{parsedate_to_datetime(date).timestamp() if date else time.time():.0f}"
