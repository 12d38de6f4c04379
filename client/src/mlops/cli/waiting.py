"""Waiting for a deployment: each change is a line, and its end is an exit code."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any, Final

import click

from mlops import Client
from mlops.cli.output import note
from mlops.cli.session import Session
from mlops.cli.tables import colored, plain
from mlops.following import ENDED, FIRST_POLL_S, LONGEST_POLL_S, MissingOutputError

STOPPED: Final = 1
"""The exit code of a job that was stopped, and of one that failed without a code of its own."""


def exit_code_of(row: Any) -> int:
    """The job's own exit code; 1 where it ended otherwise without one."""
    if row["status"] == "COMPLETED":
        return 0
    code = row["exit_code"]
    return int(code) if code and 0 < code < 256 else STOPPED


def show_progress(
    client: Client, row: Any, until: tuple[str, ...] = ENDED, timeout: float | None = None
) -> Any:
    """Wait, and say each change of status or reason on stderr; the deployment as it then is."""
    said = Said()
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_POLL_S
    while True:
        said.show(row)
        if row["status"] in until or row["status"] in ENDED:
            return row
        if deadline is not None and time.monotonic() + pause > deadline:
            raise TimeoutError(f"{plain(row['name'])} is {row['status']} after {timeout:g} s.")
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL_S)
        row = client.deployments.get(row)


class Said:
    """What was said last of a deployment: the same is not said twice."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, row: Any) -> None:
        reason = plain(row["reason"]["message"]) if row["reason"] else ""
        text = f"{plain(row['name'])}: {row['status']}" + (f", {reason}" if reason else "")
        if text != self._last:
            self._last = text
            note(text.replace(row["status"], colored(row["status"]), 1))


def follow_to_the_end(session: Session, row: Any) -> int:
    """Show the output of all attempts until the deployment has ended; the job's exit code.

    Ctrl-C asks whether to stop the job or to leave it running.
    """
    code = None
    while code is None:
        code = _until_interrupted(session, row)
    return code


def _until_interrupted(session: Session, row: Any) -> int | None:
    """The exit code; None where Ctrl-C came and the job is followed further."""
    try:
        return exit_code_of(_followed(session.client, row))
    except KeyboardInterrupt:
        answer = _asked(session, row)
    if answer == "stop":
        session.client.deployments.stop(row)
    elif answer == "leave":
        note(f"It goes on. To follow it: mlops logs -f {row['id']}")
        return 128 + signal.SIGINT
    return None


def _followed(client: Client, row: Any) -> Any:
    seen = 0
    while True:
        row = show_progress(client, row, ("RUNNING", "STOPPING"))
        if row["status"] in ENDED:
            # A short one may have ended between two looks: its output is there nevertheless.
            if row["attempt"] > seen:
                _show_output(row, follow=False)
            return row
        if row["attempt"] > seen:
            seen = row["attempt"]
            _show_output(row, follow=True)
        row = show_progress(client, row, ("QUEUED", "STARTING"))


def _show_output(row: Any, follow: bool) -> None:
    try:
        for line in row.logs(follow=follow, attempt=row["attempt"]):
            click.echo(line)
        sys.stdout.flush()
    except MissingOutputError as missing:
        if missing.code not in {"simulated", "wrote_nothing"}:
            note(f"No output: {missing}")


def _asked(session: Session, row: Any) -> str:
    """What to do after Ctrl-C; without a person the job goes on."""
    if not session.has_person:
        return "leave"
    name = plain(row["name"])
    question = f"\nStop {name}, leave it running, or go on following it? [stop/leave/follow]"
    choice = click.Choice(["stop", "leave", "follow"])
    try:
        answer: str = click.prompt(question, type=choice, show_choices=False, err=True)
    except click.Abort:
        return "leave"
    return answer
