"""The web server as it is run, gunicorn and WhiteNoise included, on the tests' own database."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings
from django.core.management import call_command

from mlops_platform.healthcheck import is_healthy

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
COMMAND = ("gunicorn", "--config", "python:mlops_platform.gunicorn", "mlops_platform.asgi")


class ServerProcess(NamedTuple):
    address: str
    process: "subprocess.Popen[bytes]"


@pytest.fixture
def server(_server: ServerProcess) -> str:
    """Its address. The log is shown when the test fails."""
    return _server.address


@pytest.fixture
def server_process(_server: ServerProcess) -> "subprocess.Popen[bytes]":
    return _server.process


@pytest.fixture
def _server(worker_environment: dict[str, str], tmp_path: Path) -> Iterator[ServerProcess]:
    call_command("collectstatic", verbosity=0, interactive=False)
    port = _free_port()
    log = tmp_path / "server.log"
    variables = {"HOST": HOST, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *COMMAND],
            cwd=settings.BASE_DIR,
            env={**worker_environment, **variables},
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
        yield ServerProcess(f"http://{HOST}:{port}", process)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print(f"--- {log.name} ---\n{log.read_text(errors='replace')}")  # noqa: T201 - pytest shows it


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
