"""Containers and processes: started again, ended whole, frozen, and kept from writing."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from chaos.platforms.containers import Container
from chaos.platforms.programs import frozen, largest_file, tree

WAIT_S = 10.0


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """With a child of its own."""
    command = ["sh", "-c", "echo started $COLOUR; sleep 600 & sleep 600"]
    made = Container("one", command, {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
    made.start()
    yield made
    made.stop()


def until(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def process_of(container: Container) -> psutil.Process:
    until(container.process)
    process = container.process()
    assert process is not None
    return process


def test_a_container_whose_process_is_killed_is_started_again_and_nothing_of_it_is_left(
    container: Container,
) -> None:
    first = process_of(container)
    until(lambda: len(first.children()) == 2)
    before = tree(first)
    first.kill()
    until(lambda: (now := container.process()) and now.pid != first.pid)
    assert psutil.wait_procs(before[1:], timeout=WAIT_S)[1] == []


def test_a_stopped_container_stays_stopped(container: Container) -> None:
    all_of_it = tree(process_of(container))
    container.stop()
    assert container.process() is None
    assert psutil.wait_procs(all_of_it, timeout=WAIT_S)[1] == []


def test_variables_are_the_containers_until_it_is_started_anew(
    container: Container, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for number, colour in enumerate(("red", ""), start=1):
        until(partial(_has_lines, log, number))
        container.stop()
        container.start(**({"COLOUR": colour} if colour else {}))
    until(partial(_has_lines, log, 3))
    assert log.read_text().splitlines() == ["started", "started red", "started"]


def test_a_frozen_process_does_nothing_until_it_is_thawed(tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    code = (
        f"import time\nwhile True: print(end='.', file=open({str(ticks)!r}, 'a')); time.sleep(.01)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until(ticks.exists)
        with frozen(tree(psutil.Process(process.pid))):
            time.sleep(0.1)
            before = ticks.stat().st_size
            time.sleep(0.3)
            assert ticks.stat().st_size == before
        until(lambda: ticks.stat().st_size > before)
        process.kill()


def test_a_process_with_a_largest_file_writes_no_more_and_does_again_afterwards(
    tmp_path: Path,
) -> None:
    said = tmp_path / "said"
    code = f"""
import time
while True:
    try:
        with open({str(tmp_path / "file")!r}, "wb", buffering=0) as file: file.write(b"x" * 100)
        word = "written"
    except OSError as error:
        word = error.strerror
    open({str(said)!r}, "a").write(word[:1])
    time.sleep(0.01)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until(said.exists)
        before = process.poll()
        with largest_file(psutil.Process(process.pid), 50):
            time.sleep(0.3)
            until(lambda: not _grows(said))
        until(lambda: _grows(said))
        assert before is process.poll() is None
        process.kill()


def _has_lines(path: Path, count: int) -> bool:
    return path.exists() and path.read_text().count("\n") == count


def _grows(path: Path) -> bool:
    before = path.stat().st_size
    time.sleep(0.2)
    return path.stat().st_size > before + 2
