"""A server that answers as a test says, on a real socket, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Answer(NamedTuple):
    """An answer; with a status of 0 the connection is closed without one."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


class Scripted:
    """Gives the answers of `script` one after the other, and then what `otherwise` says."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.otherwise: Callable[[Asked], Answer] = lambda asked: Answer(200, {})
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            return self.script.popleft() if self.script else self.otherwise(asked)


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    scripted = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(sent) if sent else None
            answer = scripted.answer(Asked(self.command, self.path, dict(self.headers), body))
            if answer.status == 0:
                self.close_connection = True
                return
            content = b"" if answer.body is None else _content(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()


def _content(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()
