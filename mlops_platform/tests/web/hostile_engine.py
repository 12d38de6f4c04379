"""A Docker engine of a tenant that means harm: it has every container, and its logs never end."""

import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deployments.runtimes.docker import containers


class Engine(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, cluster_id: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cluster_id = cluster_id
        self.drip_every_s = 0.2
        self.drop = b".\n"
        self.next_drop: Callable[[], bytes] = lambda: self.drop
        self.sent_bytes = 0
        self.hang_s = 0.0
        """How long the engine waits before it answers at all."""
        self.reading = 0
        """How many read a log just now."""
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.server_port}"

    def count(self, change: int) -> None:
        with self.lock:
            self.reading += change


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Engine

    def do_GET(self) -> None:
        time.sleep(self.server.hang_s)
        path = self.path.partition("?")[0]
        if path.endswith("/logs"):
            self._drip()
        elif path.endswith("/version"):
            self._answer({"ApiVersion": "1.44", "MinAPIVersion": "1.24"})
        else:
            self._answer(self._container(path.split("/")[-2]))

    def _container(self, name: str) -> dict[str, Any]:
        rest, attempt, replica = name.removeprefix("mlops-").rsplit("-", 2)
        labels = {
            containers.CLUSTER: self.server.cluster_id,
            containers.DEPLOYMENT: rest,
            containers.ATTEMPT: attempt,
            containers.REPLICA: replica,
        }
        return {"Id": name, "Name": name, "Config": {"Labels": labels}, "State": {}}

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.count(1)
        try:
            while True:
                drop = self.server.next_drop()
                frame = struct.pack(">BxxxL", 1, len(drop)) + drop
                self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
                self.server.sent_bytes += len(frame)
                time.sleep(self.server.drip_every_s)
        except OSError:  # the platform has closed the connection
            pass
        finally:
            self.server.count(-1)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hostile_engine(cluster_id: str) -> Iterator[Engine]:
    with Engine(cluster_id) as engine:
        thread = threading.Thread(target=engine.serve_forever, daemon=True)
        thread.start()
        try:
            yield engine
        finally:
            engine.shutdown()
            thread.join()
