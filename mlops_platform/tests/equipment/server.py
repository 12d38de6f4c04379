"""The web server as it is run, gunicorn and WhiteNoise included, on the tests' own database."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings
from django.core.management import call_command

from mlops_platform.healthcheck import is_healthy
from mlops_platform.tests.equipment.workers import environment_of_tests

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
COMMAND = ("gunicorn", "--config", "python:mlops_platform.gunicorn", "mlops_platform.asgi")


class ServerProcess(NamedTuple):
    address: str
    log: Path
    process: "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def server_module() -> tuple[str, ...]:
    """What `python -m` runs, with its arguments."""
    return COMMAND


@pytest.fixture
def server(_shared_server: ServerProcess, transactional_db: None) -> Iterator[str]:
    """The address of a server that the tests of a module share, as it takes seconds to start. What
    it logs during a test is shown when the test fails."""
    assert _shared_server.process.poll() is None, "an earlier test has ended the server"
    with _shared_server.log.open(errors="replace") as log:
        log.seek(0, os.SEEK_END)
        yield _shared_server.address
        print(f"--- {log.name} ---\n{log.read()}")  # noqa: T201 - pytest shows it


@pytest.fixture
def own_server(
    worker_environment: dict[str, str], server_module: tuple[str, ...], tmp_path: Path
) -> Iterator[ServerProcess]:
    """A server that the test may end."""
    with running_server(worker_environment, server_module, tmp_path) as started:
        yield started
    print(f"--- {started.log.name} ---\n{started.log.read_text(errors='replace')}")  # noqa: T201


@pytest.fixture(scope="module")
def _shared_server(
    django_db_setup: None,
    server_module: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(environment_of_tests(), server_module, folder) as started:
        yield started


@contextmanager
def running_server(
    environment: dict[str, str], module: tuple[str, ...], folder: Path
) -> Iterator[ServerProcess]:
    call_command("collectstatic", verbosity=0, interactive=False)
    port = _free_port()
    log = folder / "server.log"
    variables = {"HOST": HOST, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=settings.BASE_DIR,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_healthy(HOST, port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The web server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield ServerProcess(f"http://{HOST}:{port}", log, process)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
