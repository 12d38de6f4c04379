"""Sends what is pushed into a stream, on the loop alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mlops_platform.api.answers.streams import IDLE_S, PushedStream

Send = Callable[[bytes, bool], Awaitable[None]]


async def push(stream: PushedStream, over: "asyncio.Future[Any]", send: Send) -> None:
    """Sends the pieces until they end, the stream's time is up, or `over` is done: the client has
    left, or the server ends."""
    sending = asyncio.ensure_future(_send_pieces(stream, send))
    try:
        await asyncio.wait([sending, over], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send_pieces(stream: PushedStream, send: Send) -> None:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    until = time.monotonic() + stream.longest_s

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(arrived.set)

    await send(stream.begin(wake), True)
    ended = False
    while not ended:
        left = until - time.monotonic()
        if left <= 0:
            await send(stream.last(), True)
            return
        try:
            async with asyncio.timeout(min(left, IDLE_S)):
                await arrived.wait()
        except TimeoutError:
            piece = stream.idle() if left > IDLE_S else b""
        else:
            arrived.clear()
            piece, ended = stream.take()
        if piece:
            await send(piece, True)
