"""The supervisor: processes live together and leave nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from mlops_platform.processes.restarts import GrowingPause
from mlops_platform.processes.supervisor import Outcome, Supervisor
from mlops_platform.procfile import read_procfile
from mlops_platform.tests.equipment.plugin import REPOSITORY

WAIT_S = 10.0


def supervise(folder: Path, **commands: str) -> Supervisor:
    supervisor = Supervisor(commands, folder=folder, env=dict(os.environ))
    supervisor.start()
    return supervisor


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + WAIT_S
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.01)
    return path.read_text()


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_procfile_starts_web_workers_and_timer() -> None:
    assert list(read_procfile()) == ["web", "worker", "runtimes", "timer"]


def test_output_carries_the_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    supervisor = supervise(tmp_path, web="echo hello; sleep 60", longest="sleep 60")
    supervisor.watch(timeout_s=0.3)
    supervisor.stop()
    assert capfd.readouterr().out == "web     | hello\n"


def test_the_one_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path, web="sleep 60", worker="sh -c 'exit 3'")
    assert supervisor.watch(timeout_s=WAIT_S) is Outcome.DIED
    assert supervisor.died == "worker"
    assert supervisor.stop() == []
    assert supervisor.exit_code("worker") == 3
    assert supervisor.exit_code("web") == -signal.SIGTERM


def test_the_one_that_ends_by_itself_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    supervisor = supervise(tmp_path, web="sleep 60", worker="sh -c 'exit 3'")
    supervisor.listen_to_signals()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        supervisor.keep_running(say)
    finally:
        supervisor.stop()
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert said == [
        f"worker ended by itself (code 3); it is started again in {pause_s} s."
        for pause_s in (1, 2, 4)
    ]
    assert supervisor.exit_code("web") == -signal.SIGTERM


def test_waiting_ends_when_it_comes_true(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path, web="sleep 60")
    assert supervisor.watch(lambda: True) is Outcome.REACHED
    assert supervisor.watch(lambda: False, timeout_s=0.1) is Outcome.TIMED_OUT
    supervisor.stop()


def test_a_stop_is_asked_of_the_process_and_not_of_its_children(tmp_path: Path) -> None:
    # As Celery does it: the parent lets its child finish. A child that got the signal would die.
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import pathlib, signal, subprocess, sys
        code = "import time, pathlib; time.sleep(0.5); pathlib.Path('finished').write_text('yes')"
        child = subprocess.Popen([sys.executable, "-c", code])
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(child.wait()))
        pathlib.Path("ready").write_text("yes")
        signal.pause()
        """)
    )
    supervisor = supervise(tmp_path, worker=f"{sys.executable} parent.py")
    wait_for(tmp_path / "ready")
    assert supervisor.stop() == []
    assert supervisor.exit_code("worker") == 0
    assert (tmp_path / "finished").exists()


def test_what_a_process_leaves_behind_is_killed(tmp_path: Path) -> None:
    supervisor = supervise(tmp_path, web="sh -c 'sleep 60 & echo $! > child; wait'")
    child = int(wait_for(tmp_path / "child"))
    assert supervisor.stop() == []
    time.sleep(0.1)
    assert not runs(child)


def test_a_process_that_does_not_listen_is_killed_and_named(tmp_path: Path) -> None:
    command = "trap '' TERM; echo yes > ready; while true; do sleep 1; done"
    supervisor = supervise(tmp_path, web=f'sh -c "{command}"', timer="sleep 60")
    wait_for(tmp_path / "ready")
    assert supervisor.stop(timeout_s=0.3) == ["web"]
    assert supervisor.exit_code("web") == -signal.SIGKILL


def test_a_containers_entry_point_becomes_the_process() -> None:
    command = [sys.executable, "-m", "mlops_platform.procfile", "cook"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "{web,worker,runtimes,timer}" in result.stderr


def test_pauses_grow_while_a_process_cannot_start() -> None:
    pause = GrowingPause()
    assert [pause.after(lived_s=2) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_ran_and_is_killed_again_and_again_is_started_soon_each_time() -> None:
    pause = GrowingPause()
    assert [pause.after(lived_s) for lived_s in (2, 2, 15, 15, 15)] == [1, 2, 1, 1, 1]
