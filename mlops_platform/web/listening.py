"""Accepts connections so that the processes, which share a socket, share the connections too.

The loops' own way accepts all that wait at once: a proxy's eight connections would often be served
by one process, while the other one idles. One at a time would be too slow for a flood, behind which
other clients wait: a turn of the loop takes milliseconds while threads compute. So the first turn
accepts one connection, and each next turn twice as many, until none waits.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from functools import partial

from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import Server

from mlops_platform.web.connection import Connection

PAUSE_S = 0.001  # after each turn, in which another process may take the next connections
MOST_AT_ONCE = 64  # connections of one turn
WITHOUT_FILES_S = 0.5  # no file descriptor is free: until the next try


class SharingServer(Server):
    """uvicorn's server, whose connections are accepted by a `Listener`."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        make_connection = partial(
            Connection,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [Listener(each, make_connection) for each in sockets or ()]  # type: ignore[misc]  # no asyncio.Server
        self.started = True


class Listener:
    """Accepts from a listening socket; has what uvicorn calls of asyncio's servers."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listening, self._protocol = listening, protocol
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._at_once = 1  # connections of the next turn
        self._opening: set[asyncio.Task[object]] = set()
        self._resume()

    def close(self) -> None:
        self._is_open = False
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        pass

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            for _ in range(self._at_once):
                self._open(self._listening.accept()[0])
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            self._at_once = 1  # none waits: another process was faster, or the client has left
            return
        except OSError:
            self._pause(WITHOUT_FILES_S)
        else:
            self._at_once = min(2 * self._at_once, MOST_AT_ONCE)
            self._pause(PAUSE_S)

    def _open(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, accepted)
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _pause(self, pause_s: float) -> None:
        self._loop.remove_reader(self._listening)
        self._loop.call_later(pause_s, self._resume)
