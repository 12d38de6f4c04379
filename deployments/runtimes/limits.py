"""Limits of a conversation with an endpoint: seconds over all of it, and bytes.

An endpoint belongs to others. It may send a byte now and then, which satisfies every timeout of a
single read, or send without end. So the limits go to the socket (transport.py), which asks them
before and after each read: connecting, headers, chunks and bodies all count.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from deployments.runtimes.base import (
    AnswerTooLarge,
    LimitExceeded,
    OutOfTime,
    RuntimeUnavailable,
)

ANSWER_BYTES = 4 * 1024 * 1024  # of one answer; the list of 1000 containers has some 2 MB
SLOWEST = 1.5  # a whole conversation may take so many times the timeout of a single read
MOST_VALUES = 200_000  # in one answer: each costs some 150 bytes once it is parsed
LEAST_PIECE = 64  # bytes on average: an answer in crumbs costs a processor, not a network
CRUMBS = 2000  # pieces that any answer may have


class _OverTimeError(TimeoutError):
    def __init__(self, sentence: str, *, by_endpoint: bool) -> None:
        super().__init__(sentence)
        self.by_endpoint = by_endpoint


class _OverSizeError(OSError):
    pass


class _Deadline(NamedTuple):
    at: float  # by the monotonic clock
    by_endpoint: bool  # whether the endpoint is to blame once it is over


_deadline: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)
_limits: ContextVar["Limits | None"] = ContextVar("limits", default=None)


@contextmanager
def within(seconds: float, *, by_endpoint: bool = False) -> Iterator[None]:
    """All conversations that begin in the block end within so many seconds, counted from now.

    Those that do not end raise OutOfTime, or LimitExceeded where the block is about one endpoint.
    A block inside of another one cannot prolong it.
    """
    own = _Deadline(time.monotonic() + seconds, by_endpoint)
    token = _deadline.set(_earlier(own))
    try:
        yield
    finally:
        _deadline.reset(token)


def is_over() -> bool:
    """Whether the time of the surrounding block is over."""
    outer = _deadline.get()
    return outer is not None and time.monotonic() >= outer.at


class Limits:
    """Of one conversation, from now on, or of all that is read from one stream."""

    def __init__(self, within_s: float, most_bytes: int = ANSWER_BYTES) -> None:
        self._deadline = _earlier(_Deadline(time.monotonic() + within_s, by_endpoint=True))
        self._within_s, self._most_bytes, self._received = within_s, most_bytes, 0

    def timeout_s(self, idle_s: float | None = None) -> float:
        """How long the next read may take; raises once the time is over."""
        left = self._deadline.at - time.monotonic()
        if left <= 0:
            by_endpoint = self._deadline.by_endpoint
            sentence = "The conversation timed out: no whole answer came in time."
            raise _OverTimeError(sentence, by_endpoint=by_endpoint)
        return left if idle_s is None else min(left, idle_s)

    def receive(self, count: int) -> None:
        self._received += count
        if self._received > self._most_bytes:
            raise _OverSizeError(f"The answer has more than {self._most_bytes} bytes.")


@contextmanager
def conversation(limits: Limits) -> Iterator[None]:
    """Requests that are made in the block, and all reads of their answers, keep to the limits."""
    token = _limits.set(limits)
    try:
        yield
    finally:
        _limits.reset(token)


def of_this_conversation() -> Limits | None:
    return _limits.get()


class Body:
    """Gathers an answer's body, and refuses one that arrives in crumbs."""

    def __init__(self) -> None:
        self._body, self._pieces = bytearray(), 0

    def add(self, piece: bytes) -> None:
        self._pieces += 1
        self._body += piece
        if self._pieces > CRUMBS and len(self._body) < self._pieces * LEAST_PIECE:
            raise _OverSizeError("The answer comes in more pieces than it has sense.")

    def whole(self) -> bytes:
        """The body, unless it would take many times its size once it is parsed."""
        if sum(map(self._body.count, (b",", b"[", b"{"))) > MOST_VALUES:
            raise _OverSizeError(f"The answer has more than {MOST_VALUES} values.")
        return bytes(self._body)


def parsed(text: bytes) -> Any:
    """The JSON value; raises ValueError, also for one that is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("The answer is nested too deep.") from None


def exceeded(error: BaseException) -> RuntimeUnavailable | None:
    """The limit that the error, or its cause, is about; None for another error.

    The libraries wrap errors several times, as causes, contexts and arguments.
    """
    for each in wrapped(error):
        if isinstance(each, _OverTimeError):
            return (LimitExceeded if each.by_endpoint else OutOfTime)(str(each))
        if isinstance(each, _OverSizeError):
            return AnswerTooLarge(str(each))
    return None


def wrapped(error: BaseException) -> list[BaseException]:
    """The error and all that it wraps, from the outside in."""
    found: list[BaseException] = [error]
    for each in found:
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
    return found


def _earlier(own: _Deadline) -> _Deadline:
    outer = _deadline.get()
    return outer if outer is not None and outer.at < own.at else own
