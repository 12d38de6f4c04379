"""A real Docker engine to test with: the one at DOCKER_HOST, or one of the tests' own."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from deployments.runtimes.base import Access
from deployments.tests.runtimes.certificates import Authority, Pair
from mlops_platform.tests.equipment.docker_engine import (
    Engine,
    NoEngine,
    engine_in,
    root_file_system,
)

IMAGE = "mlops-platform-tests/busybox:1"


@dataclass(frozen=True, slots=True)
class TlsAccess:
    """The same engine over TCP, which accepts only clients with a certificate of the authority."""

    url: str
    authority: Authority
    client: Pair


@dataclass(frozen=True, slots=True)
class DockerEngine:
    access: Access
    tls: TlsAccess | None  # None at DOCKER_HOST
    client: Any  # docker.APIClient, to inspect the containers of the runtime
    daemon: Engine | None  # None at DOCKER_HOST: tests do not stop that engine


def give_up(why: str) -> None:
    """Skips the tests on a person's machine, and fails them in continuous integration."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    given = os.environ.get("DOCKER_HOST", "")
    with ExitStack() as until_the_end:
        tls: TlsAccess | None = None
        daemon: Engine | None = None
        if not given:
            daemon, tls = until_the_end.enter_context(own_engine())
            given = daemon.url
        client: Any = docker.APIClient(base_url=given, timeout=60)
        until_the_end.callback(client.close)
        repository, _, tag = IMAGE.partition(":")
        client.import_image_from_data(root_file_system(), repository, tag)
        until_the_end.callback(client.remove_image, IMAGE, force=True)
        yield DockerEngine(Access(given), tls, client, daemon)


@contextmanager
def own_engine() -> Iterator[tuple[Engine, TlsAccess]]:
    folder = Path(tempfile.mkdtemp(prefix="mlops-docker-"))
    tls, options = _tls(folder)
    with ExitStack() as until_the_end:
        try:
            engine = until_the_end.enter_context(engine_in(folder, *options))
        except NoEngine as why:
            give_up(str(why))
        yield engine, tls


def _tls(folder: Path) -> tuple[TlsAccess, list[str]]:
    authority = Authority("the engine's authority")
    server, client = authority.pair("127.0.0.1"), authority.pair("control plane")
    for name, text in (("ca", authority.pem), ("cert", server.cert), ("key", server.key)):
        (folder / f"{name}.pem").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    options = ["-H", url, "--tlsverify", f"--tlscacert={folder}/ca.pem"]
    options += [f"--tlscert={folder}/cert.pem", f"--tlskey={folder}/key.pem"]
    return TlsAccess(url, authority, client), options
