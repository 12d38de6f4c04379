"""Starts a server process and waits for it: what PostgreSQL and Redis have in common."""

import importlib.util
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0  # crash recovery of a large database takes its time
POLL_S = 0.01
OWNER_ONLY = 0o077  # umask: logs and data are for their owner's eyes alone


class EmbeddedServerError(Exception):
    """An embedded server cannot run here. The message is one sentence for people."""


def packaged_binary(package: str, path: str, *, variable: str) -> Path:
    """A program that a Python package carries, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            f"{variable} is not set, and the Python package {package} is not installed."
        )
    return Path(spec.origin).parent / path


def spawn(
    command: Sequence[str], log: Path, popen: Mapping[str, Any] | None = None, *, note: str = ""
) -> "subprocess.Popen[bytes]":
    """Start a server in a session of its own: a Ctrl-C in the terminal must reach it only after its
    users have ended. Its log begins with the note.
    """
    log.unlink(missing_ok=True)  # only the latest run's, and never one that belongs to another user
    with os.fdopen(os.open(log, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as output:
        output.write(note.encode())
        output.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=clean_environment(),
            start_new_session=True,
            umask=OWNER_ONLY,
            **(popen or {}),
        )


def clean_environment() -> dict[str, str]:
    """An almost empty environment: a PGDATA or a locale of the caller must not change a server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def wait_until_ready(
    name: str, ready: Callable[[], bool], process: "subprocess.Popen[bytes] | None", log: Path
) -> None:
    """Wait until a server answers. Raises EmbeddedServerError, with the end of its log, where the
    server ends or does not answer in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if process is not None and process.poll() is not None:
            raise EmbeddedServerError(f"{name} did not start: {_last_words(log)} (log: {log})")
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"{name} did not answer within {START_TIMEOUT_S:.0f} s (log: {log})"
            )
        time.sleep(POLL_S)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
