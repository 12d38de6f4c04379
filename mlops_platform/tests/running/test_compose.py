"""What `compose.yaml` tells PostgreSQL and Redis, as far as it can be tried without Docker."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from mlops_platform.embedded.postgres import SILENT_LOG
from mlops_platform.embedded.redis import _server
from mlops_platform.tests.equipment.plugin import REPOSITORY

SERVICES: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
WAIT_S = 20.0


def test_postgresql_logs_as_little_as_the_embedded_one() -> None:
    program, *settings = SERVICES["postgres"]["command"]
    assert program == "postgres"
    assert dict(each.removeprefix("-c").split("=") for each in settings) == SILENT_LOG


def test_redis_wants_its_password_and_shows_it_to_no_other_account(tmp_path: Path) -> None:
    service = SERVICES["redis"]
    assert list(service["environment"]) == ["REDISCLI_AUTH"]
    socket = tmp_path / "socket"
    program = tmp_path / "redis-server"
    program.write_text(f'#!/bin/sh\nexec {_server()[0]} "$@" --port 0 --unixsocket {socket}\n')
    program.chmod(0o755)
    command = [word.replace("$$", "$") for word in service["command"]]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "hunter2"}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as server:
        try:
            deadline = time.monotonic() + WAIT_S
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
            assert b"valkey-server" in arguments
            assert b"hunter2" not in arguments
            with redis.Redis(unix_socket_path=str(socket), password="hunter2") as client:
                assert client.config_get("save") == {"save": "3600 1"}
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(unix_socket_path=str(socket)).ping()
        finally:
            server.terminate()


def test_the_image_is_built_once_and_never_pulled() -> None:
    ours = {name: each for name, each in SERVICES.items() if each["image"] == "mlops-platform"}
    assert [name for name, each in ours.items() if "build" in each] == ["migrate"]
    others = {name: each for name, each in ours.items() if name != "migrate"}
    assert set(others) == {"web", "worker", "runtimes", "timer"}
    for each in others.values():
        assert each["pull_policy"] == "never"
        assert each["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_no_health_check_starts_django_or_celery() -> None:
    for name in ("worker", "runtimes"):
        command, *words = SERVICES[name]["healthcheck"]["test"]
        assert command == "CMD"
        assert words[:2] == ["python", "-I"]
        assert (REPOSITORY / words[2]).is_file()
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert '["python", "-I", "mlops_platform/healthcheck.py"]' in dockerfile


def test_the_socket_of_docker_is_mounted_for_the_account_of_the_image_in_runtimes_alone() -> None:
    text = (REPOSITORY / "compose.docker.yaml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    assert set(services) == {"runtimes"}
    runtimes = services["runtimes"]
    assert "user" not in runtimes
    [group] = runtimes["group_add"]
    assert group.startswith("${DOCKER_GID:?")
    [mounted] = runtimes["volumes"]
    assert mounted.endswith(":/var/run/docker.sock")
    assert "uid 10001" in (REPOSITORY / "Dockerfile").read_text()
