"""The ASGI application: whole requests to Django's threads, their answers to the clients."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from mlops_platform.api.errors import SERVER_ERROR
from mlops_platform.web import answers, limits
from mlops_platform.web.bodies import Receive, Unreceived, receive_body
from mlops_platform.web.budget import Budget
from mlops_platform.web.clients import Client, Clients
from mlops_platform.web.connection import Connection
from mlops_platform.web.fair_threads import Busy, FairThreads
from mlops_platform.web.messages import Answer, Head, read_head
from mlops_platform.web.streaming import Streams
from mlops_platform.web.wsgi_call import Application, Result, call

logger = logging.getLogger(__name__)
PIECE_BYTES = 64 * limits.KIB
Scope = dict[str, Any]
AsgiSend = Callable[[dict[str, Any]], Awaitable[None]]


class WebApplication:
    """Django behind an event loop, served by connections of `mlops_platform.web.connection`."""

    threads: FairThreads
    streams: Streams

    def __init__(self, django: Application) -> None:
        self._django = django
        self._clients = Clients()
        self._receiving = Budget(limits.RECEIVING_BYTES)
        self._unread = Budget(limits.UNREAD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await _Request(self, scope, receive, send).serve()

    async def _live(self, receive: Receive, send: AsgiSend) -> None:
        await receive()
        self.threads, self.streams = FairThreads(settings.WEB_THREADS), Streams()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.threads.stop()
        self.streams.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, head: Head, receive: Receive, connection: Connection) -> Result | None:
        """The answer to a request; None where the client has left without it."""
        if answers.is_liveness(head):
            return Result(answers.alive(head))
        try:
            body = await receive_body(head, receive, self._receiving, connection.transport.abort)
            client = self._clients.of(head)
            return await self.threads.run(
                client,
                partial(call, self._django, head, body, *self._learning(client)),
                is_wanted=lambda: not connection.transport.is_closing(),
            )
        except Unreceived as fault:
            return None if fault.status is None else Result(_unreceived(head, fault.status))
        except Busy as busy:
            return Result(_busy(head, busy))
        except Exception:
            logger.exception("Django has not answered")
            return Result(answers.refusal(head, 500, "internal_error", SERVER_ERROR))

    def _learning(
        self, client: Client
    ) -> tuple[Callable[[UUID], None], Callable[[UUID | None], None]]:
        """What a thread calls with the organization that the client's request concerns, and with
        the user of its API key."""
        loop = asyncio.get_running_loop()

        def learn(organization_id: UUID) -> None:
            if client.organization != str(organization_id):
                loop.call_soon_threadsafe(self._learn, client, str(organization_id))

        def learn_user(user_id: UUID | None) -> None:
            name = None if user_id is None else str(user_id)
            if client.name != f"user {name}":
                loop.call_soon_threadsafe(self._clients.learn_user, client, name)

        return learn, learn_user

    def _learn(self, client: Client, organization: str) -> None:
        """What runs and waits counts for the organization from here on."""
        self._clients.learn(client, organization)
        self.threads.look_up(self._clients.look_up)

    async def send_all(self, answer: Answer, connection: Connection, sender: "_Sender") -> None:
        size = sum(map(len, answer.body))
        self._unread.charge(sender, size, connection.transport.abort)
        try:
            await sender.start(answer)
            body = memoryview(b"".join(answer.body))
            for at in range(0, max(size, 1), PIECE_BYTES):
                end = at + PIECE_BYTES
                await sender.send(bytes(body[at:end]), end < size)
        finally:
            self._unread.release(sender)


class _Request:
    """One request, from its headers to the end of its answer."""

    def __init__(self, web: WebApplication, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        self._web, self._scope, self._receive, self._send = web, scope, receive, send
        self._connection: Connection = scope["state"]["connection"]

    async def serve(self) -> None:
        sender = _Sender(self._send, self._connection)
        result = await self._web.answer(read_head(self._scope), self._receive, self._connection)
        if result is None:
            self._connection.transport.abort()
        elif result.stream is None:
            await self._web.send_all(result.answer, self._connection, sender)
        else:
            over = asyncio.ensure_future(self._over())
            try:
                await self._web.streams.serve(result, over, sender.start, sender.send)
            finally:
                over.cancel()

    async def _over(self) -> object:
        """Returns once the client has left, or the server ends."""
        left = asyncio.ensure_future(self._left())
        stopping = asyncio.ensure_future(self._connection.stopping.wait())
        try:
            return await asyncio.wait({left, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            stopping.cancel()

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Sender:
    """Sends an answer, to a client that keeps taking it."""

    def __init__(self, send: AsgiSend, connection: Connection) -> None:
        self._send, self._connection = send, connection

    async def start(self, answer: Answer) -> None:
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": answer.headers,
            }
        )

    async def send(self, piece: bytes, more: bool) -> None:
        if self._connection.transport.is_closing():
            return  # closed for its limits, which the protocol learns in the loop's next turn only
        message = {"type": "http.response.body", "body": piece, "more_body": more}
        if not self._connection.flow.write_paused:
            await self._send(message)
            return
        try:
            async with asyncio.timeout(limits.UNREAD_S):
                await self._send(message)
        except TimeoutError:
            self._connection.transport.abort()


def _unreceived(head: Head, status: int) -> Answer:
    if status == 413:
        limit = settings.MAX_BODY_BYTES // 1024
        return answers.refusal(head, 413, "too_large", f"A body may have {limit} KiB at most.")
    detail = "The request's body did not arrive in time."
    return answers.refusal(head, 408, "request_timeout", detail, {"Connection": "close"})


def _busy(head: Head, busy: Busy) -> Answer:
    if busy.by_client:
        detail = (
            "You, or your organization, have too many requests waiting; send the next ones more "
            "slowly."
        )
        return answers.refusal(head, 429, "throttled", detail, {"Retry-After": "2"})
    detail = "The server has more to do than it can; try again soon."
    return answers.refusal(head, 503, "busy", detail, {"Retry-After": "5"})
