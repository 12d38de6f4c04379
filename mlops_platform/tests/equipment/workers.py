"""Real Celery workers and timers, and the environment in which processes work as the tests do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from mlops_platform.tests.equipment.plugin import REPOSITORY

WORKER_START_TIMEOUT_S = 120.0
WORKER_STOP_TIMEOUT_S = 15.0
TIMER_TIMEOUT_S = 60.0

Timer = subprocess.Popen[bytes]
StartTimer = Callable[..., Timer]


@pytest.fixture
def worker_environment(transactional_db: None) -> dict[str, str]:
    return environment_of_tests()


def environment_of_tests() -> dict[str, str]:
    """The environment in which a real process works on the tests' database and Redis, once the
    database has been made."""
    from django.db import connection

    parts = urlsplit(os.environ["DATABASE_URL"])
    name = quote(str(connection.settings_dict["NAME"]))
    return {**os.environ, "DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}"))}


@pytest.fixture
def start_worker(
    worker_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start real Celery workers: `start_worker(concurrency=2)` returns once it takes tasks.

    `queues="runtimes", pool="threads"` starts those that speak with endpoints. They end with the
    test, and their log is shown when it fails.
    """
    started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(
        concurrency: int = 2, queues: str = "scheduler", pool: str = "prefork", **variables: str
    ) -> "subprocess.Popen[bytes]":
        log = tmp_path / f"worker-{len(started) + 1}.log"
        name = f"--hostname=worker{len(started) + 1}@%h"
        options = ["--quiet", "--app=mlops_platform", "worker", name]
        speed = [f"--concurrency={concurrency}", "--without-gossip", "--without-mingle"]
        speed += [f"--queues={queues}", f"--pool={pool}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *options, *speed],
                cwd=REPOSITORY,
                env={**worker_environment, "LOG_LEVEL": "INFO", **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append((process, log))
        deadline = time.monotonic() + WORKER_START_TIMEOUT_S
        while b" ready." not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The worker did not start:\n{log.read_text()}")
            time.sleep(0.05)
        return process

    yield start
    for process, _ in started:
        process.terminate()
    for process, log in started:
        try:
            process.wait(WORKER_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print(f"--- {log.name} ---\n{log.read_text(errors='replace')}")  # noqa: T201 - pytest shows it


@pytest.fixture
def start_timer(worker_environment: dict[str, str], tmp_path: Path) -> Iterator[StartTimer]:
    """Start real timers: `start_timer(**variables)` returns once it has taken a turn. They end with
    the test, also those that it has frozen."""
    started: list[Timer] = []

    def start(**variables: str) -> Timer:
        folder = tmp_path / f"timer-{len(started) + 1}"
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler.timer"],
            cwd=REPOSITORY,
            env={**worker_environment, "MLOPS_DATA_DIR": str(folder), **variables},
            stdin=subprocess.DEVNULL,
        )
        started.append(process)
        deadline = time.monotonic() + TIMER_TIMEOUT_S
        while not (folder / "timer-heartbeat").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("The timer did not start.")
            time.sleep(0.05)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    for process in started:
        assert process.wait(TIMER_TIMEOUT_S) in {0, -signal.SIGKILL}
