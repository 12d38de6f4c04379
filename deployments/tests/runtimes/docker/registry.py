"""An image registry with one image, which requires a password."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class ImageRegistry:
    """`host` is where it is; its image is `host`/`repository`:1."""

    def __init__(self, layer: bytes, username: str, password: str) -> None:
        self.repository = "team/busybox"
        self.asked: list[str] = []
        self.fails_with: tuple[int, bytes] | None = None  # to all but its root: status and body
        packed = gzip.compress(layer, mtime=0)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["sh"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        layers = [_described(packed, "application/vnd.docker.image.rootfs.diff.tar.gzip")]
        described = _described(config, "application/vnd.docker.container.image.v1+json")
        self._manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
        ).encode()
        self._blobs = {_digest(blob): blob for blob in (packed, config)}
        login = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._authorization = f"Basic {login}"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.image = f"{self.host}/{self.repository}:1"

    @contextmanager
    def serving(self) -> Iterator["ImageRegistry"]:
        Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            # Not waited for: a test has to end whatever the engine does.
            Thread(target=self._server.shutdown, daemon=True).start()

    def answer(self, path: str, authorization: str | None) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        self.asked.append(path)
        if authorization != self._authorization:
            return 401, "application/json", b'{"errors": [{"code": "UNAUTHORIZED"}]}'
        if path == "/v2/":
            return 200, "application/json", b"{}"
        if self.fails_with is not None:
            status, body = self.fails_with
            return status, "application/json", body
        kind, _, name = path.removeprefix(f"/v2/{self.repository}/").partition("/")
        if kind == "manifests" and name in {"1", _digest(self._manifest)}:
            return 200, MANIFEST, self._manifest
        if kind == "blobs" and name in self._blobs:
            return 200, "application/octet-stream", self._blobs[name]
        return 404, "application/json", b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = registry.answer(self.path, self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Content-Digest", _digest(body))
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="tests"')
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - the library's name

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        return Handler


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _described(blob: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}
