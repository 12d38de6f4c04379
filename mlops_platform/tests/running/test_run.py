"""`manage.py run`: one command starts everything, one signal ends it."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlops_platform.tests.equipment.plugin import REPOSITORY

pytestmark = pytest.mark.e2e
START_TIMEOUT_S = 240.0  # of a loaded machine; it ends at once where the process does
STOP_TIMEOUT_S = 30.0


class Run:
    """A `manage.py run` on a free port, with its own data, as a person would start it."""

    def __init__(self, data_dir: Path, port: int) -> None:
        given = {"MLOPS_DATA_DIR": str(data_dir), "PORT": str(port), "HOST": "127.0.0.1"}
        embedded = {"DATABASE_URL": "", "REDIS_URL": ""}
        self.port = port
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run"],
            cwd=REPOSITORY,
            env={**os.environ, **given, **embedded},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_until_it_runs(self) -> None:
        assert self._started.wait(START_TIMEOUT_S), self.output
        assert "Ctrl-C stops it." in self.output, self.output

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while words not in self.output:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        """It and everything below it, the servers included."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(STOP_TIMEOUT_S)
        self._reader.join()
        return code

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.output += line
            if "Ctrl-C stops it." in line:
                self._started.set()
        self._started.set()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        if run.process.poll() is None:
            run.end(signal.SIGTERM)


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_starts_serves_stops_and_starts_again(
    tmp_path: Path, free_port: int, runs: list[Run]
) -> None:
    first = Run(tmp_path, free_port)
    runs.append(first)
    first.wait_until_it_runs()
    password = re.search(r"Created the operator `operator` with the password (\S+) ", first.output)
    assert password is not None, first.output
    for path in ("/healthz", "/swagger/", "/admin/login/", "/static/admin/css/base.css"):
        assert get(free_port, path) == 200, path
    family = first.family()
    names = " ".join(" ".join(process.cmdline()) for process in family)
    assert all(name in names for name in ("gunicorn", "celery", "postgres", "valkey-server"))

    assert first.end(signal.SIGINT) == 0, first.output
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert "Traceback" not in first.output
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "static" not in path.parts]
    assert {"secret_key", "credentials_key", "dump.rdb"} <= {path.name for path in kept}
    assert [path for path in kept if path.stat().st_mode & 0o077] == []

    second = Run(tmp_path, free_port)
    runs.append(second)
    second.wait_until_it_runs()
    assert "The operator `operator` exists" in second.output
    assert password[1] not in second.output
    assert second.end(signal.SIGTERM) == 0, second.output


def test_what_is_killed_is_started_again_and_takes_nothing_down(
    tmp_path: Path, free_port: int, runs: list[Run]
) -> None:
    run = Run(tmp_path, free_port)
    runs.append(run)
    run.wait_until_it_runs()
    family = run.family()
    postmaster = int((tmp_path / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    killed = [
        next(process for process in family if "scheduler.timer" in process.cmdline()),
        next(process for process in family if "valkey-server" in process.cmdline()[0]),
        psutil.Process(postmaster),
    ]
    for process in killed:
        process.kill()
    run.wait_for("timer ended by itself (code -9); it is started again in 1 s.")
    run.wait_for("Redis answers again.")
    run.wait_for("PostgreSQL answers again.")
    assert get(free_port, "/readyz") == 200
    started = [process for process in run.family() if process not in family]
    names = " ".join(" ".join(process.cmdline()) for process in started)
    assert all(name in names for name in ("scheduler.timer", "postgres", "valkey-server"))
    for name in ("web", "worker", "runtimes"):
        assert f"{name} ended" not in run.output
    assert run.end(signal.SIGINT) == 0, run.output
    _, alive = psutil.wait_procs([*family, *started], timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = Run(tmp_path, port)
        assert run.wait() == 1
    assert run.output == (
        f"Port {port} on 127.0.0.1 is taken: choose another one with `PORT=8001 make run`.\n"
    )


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "8000.5", "٨"])
def test_a_port_that_is_none_is_one_sentence(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.management.commands.run import _free_address

    monkeypatch.setenv("PORT", port)
    with pytest.raises(SystemExit, match="PORT must be a number from 1 to 65535"):
        _free_address()
