"""Health checks of containers: cheap, and true of a worker that has stopped taking tasks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_platform.processes import heartbeat
from mlops_platform.tests.equipment.plugin import REPOSITORY

PATIENCE_S = 60.0
CHECKS = (REPOSITORY / "mlops_platform" / "healthcheck.py", Path(heartbeat.__file__))

StartWorker = Callable[..., "subprocess.Popen[bytes]"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("queues", "pool"), [("scheduler", "prefork"), ("runtimes", "threads")])
def test_a_worker_that_takes_tasks_beats_and_a_frozen_one_does_not(
    data: Path, start_worker: StartWorker, queues: str, pool: str
) -> None:
    worker = start_worker(queues=queues, pool=pool, MLOPS_DATA_DIR=str(data))
    until(lambda: heartbeat.is_alive("worker1"))
    first = heartbeat.path("worker1").read_text()
    until(lambda: heartbeat.path("worker1").read_text() not in {"", first})
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        time.sleep(1)  # a beat that was being written is complete
        last = heartbeat.path("worker1").read_text()
        time.sleep(heartbeat.BEAT_S + 1)
        assert heartbeat.path("worker1").read_text() == last
    finally:
        os.kill(worker.pid, signal.SIGCONT)


def test_the_check_says_no_without_a_beat_and_after_an_old_one(data: Path) -> None:
    def check() -> int:
        command = [sys.executable, "-I", str(CHECKS[1]), "worker"]
        return subprocess.run(command, cwd=data, check=False, timeout=PATIENCE_S).returncode

    assert check() == 1
    heartbeat.beat("worker")
    assert check() == 0
    heartbeat.path("worker").write_text(f"{time.monotonic() - heartbeat.LATE_S - 1}")
    assert check() == 1
    heartbeat.path("worker").write_text("")
    assert check() == 1


@pytest.mark.parametrize("program", CHECKS, ids=lambda each: each.name)
def test_a_check_imports_nothing_of_the_project_nor_of_its_packages(program: Path) -> None:
    line = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='checked');"
        "print(*{each.partition('.')[0] for each in sys.modules})"
    )
    command = [sys.executable, "-I", "-c", line, str(program)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    assert not {"mlops_platform", "django", "celery", "redis"} & set(found.stdout.split())
