"""Receives the body of a request, bounded in bytes and in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from mlops_platform.web import limits
from mlops_platform.web.budget import Budget
from mlops_platform.web.messages import Head

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Unreceived(Exception):  # noqa: N818 - says what becomes of the request
    """No whole body has come; with `status` None the client has left."""

    def __init__(self, status: int | None) -> None:
        super().__init__()
        self.status = status


async def receive_body(
    head: Head, receive: Receive, receiving: Budget, drop: Callable[[], object]
) -> bytes:
    """The whole body. Raises Unreceived: 413 for one above the limit, 408 for one that is late.

    `receiving` counts the bytes of those that are not whole, and calls `drop` if they are too many.
    """
    if int(head.headers.get("content-length", 0)) > settings.MAX_BODY_BYTES:
        raise Unreceived(413)
    if "content-length" not in head.headers and "transfer-encoding" not in head.headers:
        return b""
    try:
        async with asyncio.timeout(limits.BODY_S):
            return await _receive_all(receive, receiving, drop)
    except TimeoutError:
        raise Unreceived(408) from None


async def _receive_all(receive: Receive, receiving: Budget, drop: Callable[[], object]) -> bytes:
    owner = object()
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Unreceived(None)
            piece = message.get("body", b"")
            pieces.append(piece)
            size += len(piece)
            if size > settings.MAX_BODY_BYTES:
                raise Unreceived(413)
            if not message.get("more_body"):
                return b"".join(pieces)
            receiving.charge(owner, len(piece), drop)
    finally:
        receiving.release(owner)
