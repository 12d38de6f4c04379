"""A client of Server-Sent Events, as the standard has them."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from accounts.models import User
from mlops_platform.tests.web.asking import bearer

EVENT_STREAM = "text/event-stream"
WITHIN_S = 60.0


class Blocks:
    """Takes pieces of a stream, and keeps the last id and the events that have data."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self.events: list[tuple[str, Any]] = []
        """Each with its name, which is `message` where it has none."""
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            assert set(fields) <= {"id", "event", "data", "retry"}
            self.last_id = fields.get("id", self.last_id)
            if "retry" in fields:
                self.retry_ms = int(fields["retry"])
            if "data" in fields:
                self.events.append((fields.get("event", "message"), json.loads(fields["data"])))

    @property
    def told(self) -> list[Any]:
        return [event for name, event in self.events if name == "message"]


class Listener:
    """A connection to the real web server, with the stream that it has opened."""

    def __init__(
        self,
        server: str,
        path: str,
        user: User | None,
        *,
        last_id: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=WITHIN_S)
        given = {"Accept": EVENT_STREAM, **(bearer(user) if user else {}), **headers}
        if last_id:
            given["Last-Event-ID"] = last_id
        self._connection.request("GET", path, headers=given)
        self.answer = self._connection.getresponse()
        self.status = self.answer.status
        self.blocks = Blocks()
        self.blocks.last_id = last_id

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self._connection.close()

    def error(self) -> Any:
        return json.loads(self.answer.read())

    @property
    def told(self) -> list[Any]:
        return self.blocks.told

    def listen(self, until: Callable[["Listener"], bool] = lambda _: False) -> list[Any]:
        """What has been told, once that is so, or the stream has ended."""
        deadline = time.monotonic() + WITHIN_S
        while not until(self):
            assert time.monotonic() < deadline, self.told[-3:]
            piece = self.answer.read1(65536)
            if not piece:
                break
            self.blocks.feed(piece)
        return self.told

    def hear(self, count: int) -> list[Any]:
        return self.listen(lambda each: len(each.told) >= count)

    def begin(self) -> "Listener":
        """Returns once the stream has begun."""
        self.listen(lambda each: each.blocks.retry_ms is not None)
        return self
