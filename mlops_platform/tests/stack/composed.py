"""What compose.yaml starts, on a Docker engine of its own with a real bridge network."""

import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from mlops_platform.tests.equipment.docker_engine import engine_in
from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.stack import base_images

PATIENCE_S = 180.0
HOST = "ml.example.org"
IMAGE = "mlops-platform"
DIGEST = re.compile(r"@sha256:\w+")


class Stack:
    """The services of compose.yaml, with further files laid over it."""

    def __init__(self, docker_host: str, folder: Path, port: int) -> None:
        self.docker_host, self.folder = docker_host, folder
        self.files = ["compose.yaml"]
        self.url = f"http://127.0.0.1:{port}"
        given = {"DOCKER_HOST": docker_host, "PORT": str(port), "ALLOWED_HOSTS": HOST}
        self.environment = os.environ | _secrets() | given | {"COMPOSE_PROJECT_NAME": "mlops"}

    def compose(self, *words: str, stdin: bytes = b"") -> bytes:
        """What it prints. Raises AssertionError, with all that it has said, where it fails."""
        files = [word for file in self.files for word in ("--file", str(self._as_tagged(file)))]
        done = subprocess.run(
            [*_compose_command(), "--project-directory", str(REPOSITORY), *files, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout!r}\n{done.stderr.decode()}"
        return done.stdout

    def docker(self, *words: str) -> str:
        words = ("docker", "--host", self.docker_host, *words)
        return subprocess.run(words, capture_output=True, check=True, text=True).stdout

    def build(self) -> None:
        words = ["docker", "--host", self.docker_host, "build", "--network=host", "--tag", IMAGE]
        file = self._as_tagged("Dockerfile").read_bytes()
        subprocess.run(
            [*words, "--file=-", REPOSITORY], input=file, capture_output=True, check=True
        )

    def states(self) -> dict[str, dict[str, Any]]:
        """What the engine says of each service's container."""
        ids = self.compose("ps", "--all", "--quiet").decode().split()
        return {
            each["Config"]["Labels"]["com.docker.compose.service"]: each
            for each in json.loads(self.docker("inspect", *ids))
        }

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (unhealthy := self.unhealthy()) and time.monotonic() < deadline:
            time.sleep(1)
        assert not unhealthy, self.compose("logs", "--tail=40", *unhealthy).decode()

    def mount_socket(self) -> None:
        """Lay compose.docker.yaml over it, with this engine's own socket."""
        path = Path(self.docker_host.removeprefix("unix://"))
        self.files.append("compose.docker.yaml")
        self.environment |= {"DOCKER_SOCKET": str(path), "DOCKER_GID": str(path.stat().st_gid)}
        self.compose("up", "--detach", "--no-build")
        self.wait_until_healthy()

    def unhealthy(self) -> list[str]:
        return [
            service
            for service, container in self.states().items()
            if service != "migrate" and container["State"]["Health"]["Status"] != "healthy"
        ]

    def _as_tagged(self, name: str) -> Path:
        """The file with its images by tag alone: an imported image has no digest of a registry."""
        copy = self.folder / name
        copy.write_text(DIGEST.sub("", (REPOSITORY / name).read_text()))
        return copy

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """What the platform answers behind a proxy that ends TLS; None where it says nothing."""
        headers = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = requests.request(method, self.url + path, json=body, headers=headers, timeout=30)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.json() if is_json else answer.text

    def wait_for(self, path: str, token: str, field: str, value: str) -> Any:
        """The answer once its field has this value."""
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.call("GET", path, token=token))[field] != value:
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)
        return answer


def _compose_command() -> list[str]:
    """Compose as a plugin of docker, or Debian's older program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


@contextmanager
def composed() -> Iterator[Stack]:
    """The image built, and all services up. Takes some minutes."""
    folder = Path(tempfile.mkdtemp(prefix="mlops-stack-"))
    with ExitStack() as until_the_end:
        until_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        engine_folder = folder / "engine"
        engine_folder.mkdir()
        engine = until_the_end.enter_context(engine_in(engine_folder))
        root = folder / "root"
        base_images.make_root(root)
        base_images.import_images(root, engine.url, named_in_files())
        shutil.rmtree(root)
        stack = Stack(engine.url, folder, _free_port())
        stack.build()
        until_the_end.callback(stack.compose, "down", "--volumes", "--timeout", "20")
        stack.compose("up", "--detach", "--no-build")
        stack.wait_until_healthy()
        yield stack


def named_in_files() -> dict[str, str]:
    """The base images by their software, as the Dockerfile and compose.yaml name them."""
    text = "".join((REPOSITORY / name).read_text() for name in ("Dockerfile", "compose.yaml"))
    found = re.findall(r"(?:FROM|image:) ((python|postgres|redis):\S+)", text)
    return {software: name for name, software in found}


def _secrets() -> dict[str, str]:
    """Values for `.env`, made as the guide makes them."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "METRICS_TOKEN": secrets.token_urlsafe(48),
        "CREDENTIALS_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "REDIS_PASSWORD": secrets.token_hex(24),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
