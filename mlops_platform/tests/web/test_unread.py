"""Answers that clients do not take."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import uvloop
from uvicorn.config import Config

from mlops_platform.tests.web.asking import request
from mlops_platform.web import limits
from mlops_platform.web.application import WebApplication
from mlops_platform.web.connection import Connection
from mlops_platform.web.listening import SharingServer

CLIENTS = 8
ANSWER = 8 * limits.MIB
DROPPED_WITHIN_S = 2.0


def large(_: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"." * ANSWER]


async def _leave_answers_unread(listening: socket.socket, clients: list[socket.socket]) -> None:
    application = WebApplication(large)
    server = SharingServer(Config(application, http=Connection, log_config=None))
    serving = asyncio.create_task(server.serve([listening]))
    loop = asyncio.get_running_loop()
    for each in clients:
        each.setblocking(False)
        await loop.sock_connect(each, listening.getsockname())
        await loop.sock_sendall(each, request("/api/users/me"))
    await asyncio.sleep(DROPPED_WITHIN_S)
    for each in clients:
        each.close()
    server.should_exit = True
    await serving


def test_answers_dropped_for_want_of_memory_are_no_errors_of_the_server(monkeypatch, caplog):
    monkeypatch.setattr(limits, "UNREAD_BYTES", 2 * ANSWER)
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as opened:
        listening.setblocking(False)
        clients = [opened.enter_context(socket.socket()) for _ in range(CLIENTS)]
        uvloop.run(_leave_answers_unread(listening, clients))
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []
