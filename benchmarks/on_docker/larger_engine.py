"""A socket that leads to an engine, and says that its machine has more CPUs than it has.

The platform fills a machine only with what its engine has. A benchmark fills it with hundreds of
containers that sleep, each with a limit that does not slow its start.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INFO = re.compile(rb"GET (/v[\d.]+)?/info HTTP/1\.1\r\n")
PIECE = 64 * 1024


@contextmanager
def larger_engine(engine: Path, client: Any, cpus: int) -> Iterator[str]:
    """The URL of the socket, which is made beside the engine's. `client` asks for its info."""
    answer = json.dumps({**client.info(), "NCPU": cpus}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}"
    info = head.encode() + b"\r\n\r\n" + answer
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        path = engine.with_name("larger.sock")
        listening.bind(str(path))
        listening.listen(128)

        def accept() -> None:
            while True:
                try:
                    caller, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=_serve, args=(caller, engine, info), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"unix://{path}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _serve(caller: socket.socket, engine: Path, info: bytes) -> None:
    """Relay a caller's connection; answer its questions for the engine's info."""
    with caller, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as upstream:
        upstream.connect(str(engine))
        threading.Thread(target=_relay, args=(upstream, caller), daemon=True).start()
        try:
            while piece := caller.recv(PIECE):
                if INFO.match(piece):  # no body follows, and the last answer is complete
                    caller.sendall(info)
                else:
                    upstream.sendall(piece)
        except OSError:
            pass


def _relay(upstream: socket.socket, caller: socket.socket) -> None:
    try:
        while piece := upstream.recv(PIECE):
            caller.sendall(piece)
        caller.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
