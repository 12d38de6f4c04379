"""A stream that cannot be opened is answered in the API's shape, and gives its slots back."""

import asyncio
import json
from typing import Any, Never

import pytest
from django.db import OperationalError

from mlops_platform.api.answers.streams import Stream
from mlops_platform.web.messages import Answer
from mlops_platform.web.streaming import Streams
from mlops_platform.web.wsgi_call import Result


class Failing(Stream):
    def __init__(self, error: Exception) -> None:
        self.error, self.entered = error, 0

    def enter(self) -> None:
        self.entered += 1

    def leave(self) -> None:
        self.entered -= 1

    def open(self) -> Never:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("the server closed the connection"), 503, "database_unavailable"),
        (RuntimeError("a bug"), 500, "internal_error"),
    ],
)
def test_what_fails_before_the_first_piece_is_answered_in_the_apis_shape(
    error: Exception, status: int, code: str
) -> None:
    stream = Failing(error)
    answers: list[Answer] = []
    bodies: list[bytes] = []

    async def start(answer: Answer) -> None:
        answers.append(answer)

    async def send(piece: bytes, more: bool) -> None:
        bodies.append(piece)

    async def serve() -> None:
        over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        facts = {"method": "GET", "path": "/", "ms": 1.0}
        result = Result(Answer(200, [(b"x-request-id", b"1")], []), stream, facts)
        await Streams().serve(result, over, start, send)
        while stream.entered:  # until the reader's thread has ended
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), 10))
    assert [answer.status for answer in answers] == [status]
    assert (b"x-request-id", b"1") in answers[0].headers
    assert ((b"retry-after", b"5") in answers[0].headers) == (status == 503)
    assert json.loads(b"".join(bodies))["code"] == code
