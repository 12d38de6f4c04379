"""Connections are shared by the processes, and a flood of them delays no other client for long."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from mlops_platform.web.listening import Listener

TURN_S = 0.005  # of a loop that waits for threads which compute
FLOOD = 400
ENOUGH_S = 1.0  # for the flood; one connection at a time would take 4 s
Connect = Callable[[int], None]


class Accepted(asyncio.Protocol):
    def __init__(self, count: list[int], number: int) -> None:
        self._count, self._number = count, number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._count[self._number] += 1


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=FLOOD) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def connect(listening: socket.socket) -> Iterator[Connect]:
    with ExitStack() as clients:

        def connect(many: int) -> None:
            for _ in range(many):
                clients.enter_context(socket.create_connection(listening.getsockname()))

        yield connect


async def accepted_by(listeners: int, listening: socket.socket, within_s: float) -> list[int]:
    """How many connections each of the listeners accepts in a loop whose turns are slow."""
    count = [0] * listeners
    all_of_them = [
        Listener(listening.dup(), partial(Accepted, count, number)) for number in range(listeners)
    ]
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        time.sleep(TURN_S)
        await asyncio.sleep(0)
    for each in all_of_them:
        each.close()
    return count


def test_a_flood_of_connections_is_accepted_at_once_though_threads_compute(listening, connect):
    connect(FLOOD)
    assert asyncio.run(accepted_by(1, listening, ENOUGH_S)) == [FLOOD]


def test_a_few_connections_are_shared(listening, connect):
    connect(8)
    shares = asyncio.run(accepted_by(2, listening, ENOUGH_S))
    assert sum(shares) == 8
    assert min(shares) >= 2
