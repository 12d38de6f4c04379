"""What goes on for long: output, events and ends, over connections that may be lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from urllib3.exceptions import HTTPError

from mlops import errors

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from mlops.records import Caller

ENDED: Final = ("COMPLETED", "FAILED", "STOPPED")
"""The statuses in which nothing runs any more, and nothing will."""
FIRST_POLL_S: Final = 0.2
LONGEST_POLL_S: Final = 3.0
SILENCE_S: Final = 45.0
"""A stream of events says something each 15 s; one that is silent for longer is broken."""
RECONNECT_S: Final = 1.0
BLOCK: Final = 65536
CUT: Final = "[cut: "
"""How the platform begins the line that says why it could not go on; such a line has no time."""


def wait(
    client: Caller, deployment: str, until: tuple[str, ...] = ENDED, timeout: float | None = None
) -> Any:
    """The deployment once its status is one of `until` or an end; TimeoutError after `timeout`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_POLL_S
    while True:
        shown = client.deployments.get(deployment)
        if shown["status"] in until or shown["status"] in ENDED:
            return shown
        if deadline is not None and time.monotonic() + pause > deadline:
            message = f"{shown['name']} is {shown['status']} after {timeout:g} s."
            raise TimeoutError(message)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL_S)


class MissingOutputError(errors.MlopsError):
    """There is no output; `code` says why, such as `simulated` or `not_started`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def lines(client: Caller, deployment: str, follow: bool = False, **selection: Any) -> Iterator[str]:
    """The lines of a deployment's output. Raises MissingOutputError where there is none."""
    if follow:
        yield from _followed(client, deployment, **selection)
        return
    with _Stream(client, deployment, selection) as stream:
        yield from stream.lines()


def _followed(
    client: Caller, deployment: str, timestamps: bool = False, **selection: Any
) -> Iterator[str]:
    """Follow with times, by which a lost connection is gone on with; a line that comes again
    with the time at which the connection was lost is left out."""
    last, seen = "", 0
    while True:
        again = {**selection, "follow": True, "timestamps": True}
        if last:
            again |= {"since": last, "tail": None}
        repeated = seen if last else 0
        try:
            with _Stream(client, deployment, again) as stream:
                for line in stream.lines():
                    at, _, text = line.partition(" ")
                    if not at[:1].isdigit():
                        if line.startswith(CUT):
                            break
                        if line:
                            yield line
                        continue
                    if at == last and repeated > 0:
                        repeated -= 1
                        continue
                    last, seen = (at, seen + 1) if at == last else (at, 1)
                    yield line if timestamps else text
        except HTTPError:
            time.sleep(RECONNECT_S)
            continue
        if "limit" in selection or client.deployments.get(deployment)["status"] != "RUNNING":
            return
        time.sleep(RECONNECT_S)


class _Stream:
    """One answer with output."""

    def __init__(self, client: Caller, deployment: str, selection: dict[str, Any]) -> None:
        path = f"/api/deployments/{deployment}/logs"
        self._response = client.transport.call(
            "GET", path, selection, headers={"Accept": "text/plain"}, stream=True
        )

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self._response.close()

    def lines(self) -> Iterator[str]:
        missing = self._response.headers.get("X-Logs-Missing")
        if missing is not None:
            detail = self._response.headers.get("X-Logs-Missing-Detail", missing)
            raise MissingOutputError(missing, detail)
        yield from _lines(self._response)


def events(client: Caller, path: str, **filters: Any) -> Iterator[dict[str, Any]]:
    """The events at `path` as they happen. `since` is where to begin: a cursor, `now`, or the
    oldest that is kept."""
    last, connected = "", False
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        try:
            response = client.transport.call(
                "GET", path, filters, headers=headers, stream=True, read_timeout_s=SILENCE_S
            )
            connected = True
            try:
                for fields in _messages(response):
                    last = fields.get("id", last)
                    data = json.loads(fields["data"]) if "data" in fields else None
                    if fields.get("event") == "end":
                        _raise_if_final(data)
                    elif data is not None:
                        yield data
            finally:
                response.close()
        except (HTTPError, errors.UnreachableError):
            if not connected:
                raise
            # The stream broke: it goes on after the last cursor.
        time.sleep(RECONNECT_S)


def _messages(response: BaseHTTPResponse) -> Iterator[dict[str, str]]:
    """Server-sent events: their fields, one message at a time."""
    fields: dict[str, str] = {}
    for line in _lines(response):
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {}


def _raise_if_final(end: Any) -> None:
    if end and end.get("code") in {"not_allowed", "cursor_expired"}:
        raise errors.ApiError(410, end["code"], end["detail"], {})


def _lines(response: BaseHTTPResponse) -> Iterator[str]:
    rest = b""
    while block := response.read1(BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
