"""Starts a server process and waits for it: what PostgreSQL and Redis have in common."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

POLL_S = 0.01
SAY_EVERY_S = 15.0  # that a server still reads its data
CONNECT_TIMEOUT_S = 2.0
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


def listens(path: Path) -> bool:
    """Whether a server has this socket open: one that recovers, loads or is frozen, too."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:  # it is there, and slow
        return True
    return True


def wait_until_ready(
    name: str, ready: Callable[[], bool], alive: Callable[[], bool], log: Path
) -> None:
    """Wait until a server answers, however long its recovery from a crash takes: one that is cut
    off begins at the same point again.

    Raises EmbeddedServerError, with the end of its log, where the server ends.
    """
    began = said = time.monotonic()
    while not ready():
        if not alive() and not ready():
            raise EmbeddedServerError(f"{name} did not start: {_last_words(log)} (log: {log})")
        now = time.monotonic()
        if now - said > SAY_EVERY_S:
            said = now
            sys.stderr.write(
                f"{name} reads its data since {now - began:.0f} s (after a crash it recovers): "
                f"{_last_words(log)}\n"
            )
        time.sleep(POLL_S)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
