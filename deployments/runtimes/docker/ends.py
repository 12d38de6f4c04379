"""Finds out what ended a container: itself, a stop by others, or a restart of its engine.

An engine remembers its last 256 events until it ends. A container's exit code alone does not tell:
143 may be the program's own, and a program that handles SIGTERM well ends with 0.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Any, NamedTuple

from deployments.runtimes.base import Code, Problem, ReplicaStatus, RuntimeUnavailable
from deployments.runtimes.docker.client import Engine, errors_as_unavailable, lines, pieces
from deployments.runtimes.docker.output import date_of
from deployments.runtimes.limits import parsed

REMEMBERED = 256  # events, as of every version of the engine until now
LATE_S = 2.0  # so long after an end its stop may be reported; the engine answers once that is over
ASK_S, MOST_BYTES = 3.0, 2 * 1024 * 1024
TERMINATED = 143
MAY_BE_CUT_OFF = (0, 137, TERMINATED, 255)  # exit codes of containers whose engine goes down
RESTARTED = "Its engine was restarted or stopped, and has stopped it."
STOPPED = "It was stopped at its engine, and not by the platform."


class Cause(Enum):
    ITSELF = auto()
    STOPPED = auto()  # by `docker stop` or `docker restart`
    TERMINATED = auto()  # by a SIGTERM that was sent to it, as with `docker kill`
    RESTART = auto()
    UNKNOWN = auto()


class Event(NamedTuple):
    action: str
    container_id: str
    signal: str


class Ends:
    """The ends that one observation sees. An engine that once fails to say what has happened, as
    one that lets the call run into its deadline, is not asked about the other containers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._has_failed = False

    def explained(self, container_id: str, status: ReplicaStatus) -> ReplicaStatus:
        """With the problem DISRUPTED where the container has been stopped by others. Calls the
        engine for exit codes only that a stop may have."""
        own = status.problem is None or status.problem.code == Code.EXITED
        if status.ended_at is None or status.exit_code not in MAY_BE_CUT_OFF or not own:
            return status
        if self._has_failed:
            return status
        try:
            cause = _cause(self._engine, container_id, status.ended_at, status.exit_code)
        except RuntimeUnavailable:  # whatever the engine says there, its containers are known
            self._has_failed = True
            return status
        if cause == Cause.RESTART:
            return replace(status, problem=Problem(Code.DISRUPTED, RESTARTED))
        if cause == Cause.STOPPED or (cause == Cause.TERMINATED and status.exit_code == TERMINATED):
            return replace(status, problem=Problem(Code.DISRUPTED, STOPPED))
        return status


def _cause(engine: Engine, container_id: str, ended_at: datetime, exit_code: int) -> Cause:
    until = ended_at.timestamp() + 0.5
    before, date = _remembered(engine, 1, until)
    own = _of_last_run([each for each in before if each.container_id == container_id])
    actions = {each.action for each in own}
    if "die" in actions:
        # A stop is reported after the end that it has caused, on a busy engine not at once.
        if "kill" in actions and "stop" not in actions and exit_code != TERMINATED:
            late, _ = _remembered(engine, until, ended_at.timestamp() + LATE_S)
            actions |= {each.action for each in late if each.container_id == container_id}
        if "stop" in actions:
            return Cause.STOPPED
        terms = any(each.action == "kill" and each.signal == "15" for each in own)
        return Cause.TERMINATED if terms else Cause.ITSELF
    if before:
        return Cause.UNKNOWN
    # It remembers nothing of that time: it has restarted since, or too much has happened.
    after, _ = _remembered(engine, until, max(date, until))  # it has whole seconds
    if len(after) >= REMEMBERED:
        return Cause.UNKNOWN
    info: dict[str, Any] = engine.call(lambda client: client.info())
    return Cause.ITSELF if info.get("LiveRestoreEnabled") else Cause.RESTART


def _of_last_run(events: Sequence[Event]) -> Sequence[Event]:
    """Others may have restarted the container: what ended an earlier run says nothing of this."""
    starts = [at for at, each in enumerate(events) if each.action == "start"]
    return events[starts[-1] :] if starts else events


def _remembered(engine: Engine, since: float, until: float) -> tuple[Sequence[Event], float]:
    """The events that the engine remembers of a time, and the time of its answer by its clock."""
    params = {"since": f"{since:.6f}", "until": f"{until:.6f}"}
    response = engine.stream(
        "get", "/events", ASK_S, within_s=ASK_S, most_bytes=MOST_BYTES, params=params
    )
    date = float(date_of(response))
    with errors_as_unavailable(), closing(pieces(response)) as body:
        return [_event(line) for line in lines(body) if line.strip()], date


def _event(line: bytes) -> Event:
    event = parsed(line)
    actor = event["Actor"]
    signal = (actor.get("Attributes") or {}).get("signal", "")
    return Event(str(event["Action"]), str(actor["ID"]), str(signal))
