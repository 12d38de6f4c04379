"""A primary, its replica and three Sentinels, as real processes: `sentinels`."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from mlops_platform.embedded.redis import _server

HOST = "127.0.0.1"
SERVICE = "platform"
PASSWORD = "river-of-stones"
DOWN_AFTER_MS = 1000
WAIT_S = 30.0


class Sentinels:
    """`url` is what REDIS_URL says; `primary()` is the port of the present one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = str(_server()[0])
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.servers = [_free_port(), _free_port()]
        self.sentinels = [_free_port() for _ in range(3)]
        hosts = ",".join(f"{HOST}:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}?db=2"

    def start(self) -> None:
        first, second = self.servers
        self._start_server(first)
        self._start_server(second, f"replicaof {HOST} {first}\n")
        self._wait(lambda: self._ask(second).info("replication")["master_link_status"] == "up")
        for port in self.sentinels:
            watch = (
                f"sentinel monitor {SERVICE} {HOST} {first} 2\n"
                f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 5000\n"
            )
            self._start(port, watch, "--sentinel")
        for port in self.sentinels:
            self._wait(lambda port=port: self._knows_all(port))  # type: ignore[misc]  # mypy: of a default

    def primary(self) -> int:
        asked = self._ask(self.sentinels[0], password=None)
        found: Any = asked.sentinel_get_master_addr_by_name(SERVICE)
        return int(found[1])

    def kill_primary(self) -> None:
        self._processes[self.primary()].kill()

    def freeze_primary(self) -> None:
        self._processes[self.primary()].send_signal(signal.SIGSTOP)

    def wait_for_another(self, than: int) -> None:
        self._wait(lambda: self.primary() != than)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _knows_all(self, port: int) -> bool:
        state: Any = self._ask(port, password=None).sentinel_master(SERVICE)
        return (int(state["num-slaves"]), int(state["num-other-sentinels"])) == (1, 2)

    def _start_server(self, port: int, more: str = "") -> None:
        login = f"requirepass {PASSWORD}\nmasterauth {PASSWORD}\n"
        fast = "repl-diskless-sync-delay 0\nsave ''\nrepl-ping-replica-period 1\n"
        self._start(port, login + fast + more)
        self._wait(lambda: bool(self._ask(port).ping()))

    def _start(self, port: int, settings: str, *options: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        file = folder / "redis.conf"
        file.write_text(f"port {port}\nbind {HOST}\ndir {folder}\n{settings}")
        with (folder / "log").open("wb") as log:
            self._processes[port] = subprocess.Popen(
                [self._program, str(file), *options], stdout=log, stderr=log
            )

    def _ask(self, port: int, password: str | None = PASSWORD) -> Redis:
        return Redis(HOST, port, password=password, decode_responses=True, socket_timeout=2)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                if condition():
                    return
            except (RedisError, KeyError):
                pass
            assert time.monotonic() < deadline, "the servers did not come so far"
            time.sleep(0.05)


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    found = Sentinels(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
