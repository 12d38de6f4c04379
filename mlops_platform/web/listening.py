"""Accepts connections so that the processes, which share a socket, share the connections too.

The loops' own way accepts all that wait at once: a proxy's eight connections would often be served
by one process, while the other one idles.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from functools import partial

from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import Server

from mlops_platform.web.connection import Connection

PAUSE_S = 0.001  # after each connection, in which another process may take the next one
WITHOUT_FILES_S = 0.5  # no file descriptor is free: until the next try


class SharingServer(Server):
    """uvicorn's server, whose sockets are accepted from one connection at a time."""

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
        pause_s = PAUSE_S
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was faster, or the client has left
        except OSError:
            pause_s = WITHOUT_FILES_S
        else:
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opening = self._loop.create_task(
                self._loop.connect_accepted_socket(self._protocol, accepted)
            )
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
        self._loop.remove_reader(self._listening)
        self._loop.call_later(pause_s, self._resume)
