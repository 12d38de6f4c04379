"""Calls to the API, and what came of each: an answer, or none."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TIMEOUT_S = 20.0
IDLE_S = 1.0  # the server closes what is idle for longer than 15 s
EXPECTED = (409, 429)  # refusals that a sound platform gives to this load


class Came(StrEnum):
    """What came of a call."""

    FINE = "fine"
    REFUSED = "refused"  # 409 or 429, which the load may meet at any time
    AWAY = "503"  # with Retry-After: the honest answer to a fault
    BROKEN = "5xx"  # any other 5xx, and a 503 that does not say when to come back
    WRONG = "4xx"  # a sound request that was called unsound, or a row that was not found
    CUT = "cut"  # the connection was refused or broke
    SILENT = "silent"  # no answer in time


BAD = (Came.BROKEN, Came.WRONG)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int  # 0 where none came
    body: Any
    came: Came

    @property
    def is_fine(self) -> bool:
        return self.came is Came.FINE


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that was not fine; `at` is by time.monotonic()."""

    at: float
    came: Came
    sentence: str


@dataclass
class Tally:
    """Counts all calls, and keeps those that were not fine. Safe to share among threads."""

    counts: Counter[Came] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: Answer, sentence: str) -> None:
        with self._lock:
            self.counts[answer.came] += 1
            if answer.came not in {Came.FINE, Came.REFUSED}:
                self.troubles.append(Trouble(time.monotonic(), answer.came, sentence))


class Client:
    """One connection of one user, for one thread."""

    def __init__(self, port: int, headers: Mapping[str, str], tally: Tally) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self._headers = {"Content-Type": "application/json", **headers}
        self._tally = tally
        self._used_at = time.monotonic()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if time.monotonic() - self._used_at > IDLE_S:
            self._connection.close()  # the next line opens it again
        data = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, data, {**self._headers, **(headers or {})})
            came = self._connection.getresponse()
            answer = _answer(came.status, came.headers.get("Retry-After"), came.read())
        except TimeoutError:
            self._connection.close()
            answer = Answer(0, None, Came.SILENT)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            answer = Answer(0, None, Came.CUT)
        self._used_at = time.monotonic()
        said = str(answer.body)[:300] if answer.status else ""
        self._tally.note(answer, f"{method} {path}: {answer.status} {said}")
        return answer

    def close(self) -> None:
        self._connection.close()


def _answer(status: int, retry_after: str | None, content: bytes) -> Answer:
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = content.decode(errors="replace")
    return Answer(status, body, came_of(status, retry_after))


def came_of(status: int, retry_after: str | None) -> Came:
    if status < 300:
        return Came.FINE
    if status in EXPECTED:
        return Came.REFUSED
    if status == 503 and retry_after:
        return Came.AWAY
    return Came.BROKEN if status >= 500 else Came.WRONG
