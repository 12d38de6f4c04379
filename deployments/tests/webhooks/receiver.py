"""A receiver of webhooks: a real HTTP server on a thread."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`status` and `headers` are its answers; `slow` makes it wait until the test is over."""

    def __init__(self) -> None:
        self.status, self.headers, self.slow = 204, dict[str, str](), False
        self.got: list[tuple[str, Any, bytes]] = []  # path, headers, body
        self.over = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.got]

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.got]


def is_signed(secret: str, headers: Any, body: bytes) -> bool:
    """As the specification says it, written apart from signing.py."""
    key = base64.b64decode(secret.split("_", 1)[1])
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body.decode()}"
    expected = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.path, self.headers, body))
            if receiver.slow:
                receiver.over.wait(30)
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
