"""Calls of the command `mlops`: in this process, or in one of its own on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from mlops.cli.main import run

TIMEOUT_S = 90.0


class Called(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Terminal:
    """A shell of one user, without a terminal behind it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Called:
        """Call `mlops ARGUMENTS`; it has to end with `code`."""
        self._capsys.readouterr()
        ended = run(arguments)
        called = Called(ended, *self._capsys.readouterr())
        assert ended == code, f"mlops {' '.join(arguments)}: {called}"
        return called


class Person:
    """A user at a terminal, who reads and types."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self.seen = ""

    def sees(self, text: str) -> None:
        """Read until `text` has come."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self._read(), f"{text!r} did not come: {self.seen}"

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def presses_ctrl_c(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ends(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self._process.wait(TIMEOUT_S)

    def _read(self) -> bool:
        """Whether there is more to come. Fails where nothing does for TIMEOUT_S."""
        ready, _, _ = select.select([self._terminal], [], [], TIMEOUT_S)
        assert ready, f"nothing more came: {self.seen}"
        try:
            block = os.read(self._terminal, 4096)
        except OSError:  # the other side has closed
            return False
        self.seen += block.decode(errors="replace")
        return bool(block)


def _take_ctrl_c() -> None:
    """As a terminal's processes do, also where these tests run in the background of a shell that
    has its jobs ignore SIGINT, which Python would keep."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def at_a_terminal(*arguments: str) -> Iterator[Person]:
    """`mlops ARGUMENTS` in a process of its own, on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops", *arguments],
        env={**environment, "COLUMNS": "80", "LINES": "24"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_ctrl_c,  # noqa: PLW1509 - there are no threads here
    )
    os.close(theirs)
    try:
        yield Person(process, ours)
    finally:
        os.close(ours)
        process.kill()
        process.wait()
