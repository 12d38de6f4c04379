"""Processes of this machine: their trees, their signals, and how large their files may become."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "VIRTUAL_ENV")


def bare_environment() -> dict[str, str]:
    """None of the caller's settings: each platform must be the same wherever the suite runs."""
    bare = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    programs = Path(sys.executable).parent
    return {**bare, "PATH": f"{programs}{os.pathsep}{bare.get('PATH', os.defpath)}"}


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process, and all that it has started; the process itself comes first."""
    with suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return [process]


def kill(processes: Iterable[psutil.Process]) -> None:
    for each in processes:
        with suppress(psutil.Error):
            each.kill()


@contextmanager
def frozen(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """Inside the block the processes do not run. The first ones stop first, so that a parent does
    not notice what becomes of its children."""
    stopped = list(processes)
    for each in stopped:
        with suppress(psutil.Error):
            each.suspend()
    try:
        yield
    finally:
        for each in reversed(stopped):
            with suppress(psutil.Error):
                each.resume()


@contextmanager
def largest_file(process: psutil.Process, size: int) -> Iterator[None]:
    """Inside the block no file of the process, and of those that it has started, grows beyond
    `size` bytes, as on a full disk."""
    _limit_files_of_tree(process, str(size))
    try:
        yield
    finally:
        _limit_files_of_tree(process, "unlimited")


def why_no_limits() -> str | None:
    """Why `largest_file` cannot be had here, as a sentence; None where it can."""
    return None if shutil.which("prlimit") else "There is no prlimit here (util-linux)."


def _limit_files_of_tree(process: psutil.Process, size: str) -> None:
    """Until it starts no more: what it starts meanwhile may have inherited the old limit."""
    done: set[psutil.Process] = set()
    while left := [each for each in tree(process) if each not in done and each.is_running()]:
        for each in left:
            _limit_files(each, size)
            done.add(each)


def _limit_files(process: psutil.Process, size: str) -> None:
    """The soft limit alone, and as the process's own account: neither needs root's rights over
    limits, which containers often lack."""
    with suppress(psutil.Error):
        account = {"user": process.uids().effective, "group": process.gids().effective}
        done = subprocess.run(
            ["prlimit", "--pid", str(process.pid), f"--fsize={size}:"],
            check=False,
            capture_output=True,
            text=True,
            **({**account, "extra_groups": []} if os.geteuid() == 0 else {}),
        )
        if done.returncode and process.is_running():
            raise RuntimeError(f"prlimit: {done.stderr.strip()}")


def end(process: "subprocess.Popen[bytes]", number: int, timeout_s: float) -> bool:
    """Send the signal, and kill what has not ended in time; False where that was needed."""
    with suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        kill(reversed(tree(psutil.Process(process.pid))))
        process.wait()
        return False
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return True
