"""Processes whose host has another time: libfaketime moves its wall clock, no monotonic one."""

from datetime import timedelta
from pathlib import Path

import pytest

LIBRARY = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
_found = next(LIBRARY, None)


def on_a_host(ahead: timedelta) -> dict[str, str]:
    """The environment of a process on a host whose clock is ahead by so much."""
    return {**_preloaded(), "FAKETIME": f"{ahead.total_seconds():+.0f}s"}


def with_clock_in(file: Path) -> dict[str, str]:
    """The environment of processes whose clock is ahead by what the file says at each moment, which
    `set_clock` writes."""
    set_clock(file, timedelta())
    return {**_preloaded(), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}


def set_clock(file: Path, ahead: timedelta) -> None:
    draft = file.with_suffix(".new")  # a process may read the file at any moment
    draft.write_text(f"{ahead.total_seconds():+.0f}s\n")
    draft.replace(file)


def _preloaded() -> dict[str, str]:
    if _found is None:
        pytest.fail("This test needs libfaketime (Debian: apt install faketime).")
    return {"LD_PRELOAD": str(_found), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
