"""Calls of the command `mlops`: in this process, with what it printed and its exit code."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from mlops.cli.main import run


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
    """A shell of one user, without a terminal behind it unless a test says so."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Called:
        """Call `mlops ARGUMENTS`; it has to end with `code`."""
        self._capsys.readouterr()
        ended = run(arguments)
        called = Called(ended, *self._capsys.readouterr())
        assert ended == code, f"mlops {' '.join(arguments)}: {called}"
        return called
