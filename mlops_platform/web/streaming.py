"""Serves streams on the loop: headers at once, slots and access watched until the end."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import close_old_connections
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from mlops_platform import logs
from mlops_platform.api.answers.streams import PushedStream, Stream
from mlops_platform.api.errors import SERVER_ERROR, answer_exception
from mlops_platform.web import limits
from mlops_platform.web.messages import Answer
from mlops_platform.web.pushing import push
from mlops_platform.web.stream_reader import StreamReader
from mlops_platform.web.wsgi_call import Result, encoded

logger = logging.getLogger(__name__)
Start = Callable[[Answer], Awaitable[None]]
"""Sends the status and the headers."""
Send = Callable[[bytes, bool], Awaitable[None]]
"""Sends a piece of the body, and whether more follow."""


class TooLate(APIException):
    status_code = 503
    default_code = "endpoint_unavailable"
    default_detail = "The endpoint did not begin to answer in time."
    wait = 4


class Streams:
    """The streams of this process, with the threads in which all of them ask the database."""

    def __init__(self) -> None:
        self._checks = ThreadPoolExecutor(2, thread_name_prefix="stream-checks")

    def stop(self) -> None:
        self._checks.shutdown(wait=False, cancel_futures=True)

    async def serve(
        self, result: Result, over: "asyncio.Future[Any]", start: Start, send: Send
    ) -> None:
        """Sends the answer until the pieces end, the time is up, the user may not read any more, or
        `over` is done: the client has left, or the server ends."""
        stream = result.stream
        assert stream is not None
        try:
            stream.enter()
        except APIException as error:
            await _send_whole(_refusal(result, error), start, send)
            return
        if isinstance(stream, PushedStream):
            try:
                await start(result.answer)
                _log(result, result.answer.status)
                await push(stream, over, send)
                await send(b"", False)
            finally:
                stream.leave()
            return
        try:
            served = _Served(stream, self._ask)
        except RuntimeError:  # the system has no thread left
            stream.leave()
            raise
        try:
            opening = asyncio.ensure_future(served.open())
            await asyncio.wait([opening, over], return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                opening.cancel()
                _log(result, result.answer.status)
                return
            try:
                opening.result()
            except Exception as error:
                await _send_whole(_refusal(result, error), start, send)
                return
            further = encoded([*stream.headers().items()])
            await start(result.answer._replace(headers=result.answer.headers + further))
            _log(result, result.answer.status)
            await served.send_until(over, send)
            await send(b"", False)
        finally:
            served.close()

    async def _ask(self, question: Callable[[], bool]) -> bool:
        """What it answers in a thread, with a database connection; False where it raises."""

        def ask() -> bool:
            close_old_connections()
            try:
                return question()
            except APIException:
                return False
            except Exception:
                logger.exception("a stream ends, for its access cannot be checked")
                return False
            finally:
                close_old_connections()

        return await asyncio.get_running_loop().run_in_executor(self._checks, ask)


class _Served:
    """One stream while it is served."""

    def __init__(
        self, stream: Stream, ask: Callable[[Callable[[], bool]], Awaitable[bool]]
    ) -> None:
        self._stream, self._ask = stream, ask
        self._until = time.monotonic() + stream.longest_s
        self._reader = StreamReader(stream)

    async def open(self) -> None:
        """Returns once the source has begun, or is to be waited for; raises what is to answer."""
        try:
            async with asyncio.timeout(limits.OPEN_S):
                await asyncio.shield(self._reader.opened)
        except TimeoutError:
            raise TooLate from None

    async def send_until(self, over: "asyncio.Future[Any]", send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        allowed = asyncio.ensure_future(self._while_allowed())
        try:
            await asyncio.wait([sending, allowed, over], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            allowed.cancel()
            await asyncio.gather(sending, allowed, return_exceptions=True)

    def close(self) -> None:
        """The slots are free once no thread works for the stream any more."""
        self._reader.stop(then=self._stream.leave)

    async def _send(self, send: Send) -> None:
        try:
            while not await asyncio.shield(self._reader.opened):
                await asyncio.sleep(limits.READY_EVERY_S)
                if await self._ask(self._stream.is_ready):
                    self._reader = StreamReader(self._stream)
        except APIException:
            return  # the response has begun: it can only end
        ended = False
        while not ended:
            data, ended = await self._reader.take()
            if data:
                await send(data, True)
            await asyncio.sleep(limits.SEND_EVERY_S)

    async def _while_allowed(self) -> None:
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, limits.ALLOWED_EVERY_S))
            if not await self._ask(self._stream.is_allowed):
                return


def _refusal(result: Result, error: Exception) -> Answer:
    """The error's answer, with those headers of Django's answer that do not describe its body."""
    response = answer_exception(error, {})
    if response is None:
        logger.error("a stream could not be opened", exc_info=error)
        response = Response({"detail": SERVER_ERROR, "code": "internal_error"}, status=500)
    body = json.dumps(response.data).encode()
    kept = [each for each in result.answer.headers if not each[0].startswith(b"content-t")]
    own = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    kept += [each for each in own if each[0] != b"content-type"]
    kept += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    _log(result, response.status_code)
    return Answer(response.status_code, kept, [body])


def _log(result: Result, status: int) -> None:
    facts = {**result.facts, "status": status}
    logs.requests.info(logs.REQUEST_LINE, facts, extra=facts)


async def _send_whole(answer: Answer, start: Start, send: Send) -> None:
    await start(answer)
    await send(b"".join(answer.body), False)
