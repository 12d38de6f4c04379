"""Replica statuses from the engine's lists and inspections."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from deployments.runtimes.base import Code, Key, Phase, Problem, ReplicaStatus, one_line

NOT_EXECUTED = (126, 127)  # of Docker's init, of the engine and of every shell
NOT_FOUND = re.compile(
    r"\[FATAL tini|not found|no such file|permission denied|exec format", re.IGNORECASE
)


def running(
    key: Key, node: str, listed: dict[str, Any], started_at: datetime | None
) -> ReplicaStatus:
    """Of a container that runs; the list gives its health check's result in words."""
    status = str(listed.get("Status", ""))
    problem = None
    if listed["State"] == "paused":
        problem = Problem(Code.PAUSED)
    elif listed["State"] != "running":
        problem = Problem(Code.NOT_READY, f"The container is {listed['State']}.")
    elif "(unhealthy)" in status or "(health: starting)" in status:
        problem = Problem(Code.NOT_READY)
    return ReplicaStatus(
        key,
        Phase.RUNNING,
        ready=problem is None,
        problem=problem,
        started_at=started_at,
        node=node,
    )


def at_rest(key: Key, node: str, inspected: dict[str, Any]) -> ReplicaStatus:
    """Of a container without a process: not started yet, ended, or unable to start."""
    state = inspected["State"]
    started_at = moment(state.get("StartedAt"))
    if state["Status"] == "created" and not state.get("Error"):
        created_at = moment(inspected.get("Created"))
        return ReplicaStatus(key, Phase.PENDING, begun=False, created_at=created_at, node=node)
    if state.get("Running"):  # it has started since it was listed
        return ReplicaStatus(key, Phase.RUNNING, started_at=started_at, node=node)
    ended_at = moment(state.get("FinishedAt"))
    if started_at and ended_at:  # the engine may set the end before the start
        ended_at = max(started_at, ended_at)
    exit_code = int(state.get("ExitCode") or 0)
    return ReplicaStatus(
        key,
        Phase.ENDED,
        exit_code=exit_code if started_at else None,
        problem=_problem(state, exit_code, started_at),
        started_at=started_at,
        ended_at=ended_at,
        node=node,
    )


def _problem(state: dict[str, Any], exit_code: int, started_at: datetime | None) -> Problem | None:
    said = one_line(state.get("Error") or "")
    if state.get("Dead"):
        return Problem(Code.DISRUPTED, said or "It was being removed.")
    if exit_code in NOT_EXECUTED:
        return Problem(Code.COMMAND_FAILED, said)
    if started_at is None:
        return Problem(Code.REFUSED, said)
    if exit_code and state.get("OOMKilled"):
        return Problem(Code.OUT_OF_MEMORY, said)
    if exit_code:
        return Problem(Code.EXITED, said)
    return None


def explained(status: ReplicaStatus, last_line: Callable[[], str]) -> ReplicaStatus:
    """Looks in the log for what could not be executed: Docker's init and shells write it there.

    A program whose log has no such line has exited with 126 or 127 for a reason of its own.
    """
    problem = status.problem
    if problem is None or problem.code != Code.COMMAND_FAILED or problem.message:
        return status
    said = one_line(last_line())
    if not NOT_FOUND.search(said):
        return replace(status, problem=Problem(Code.EXITED))
    return replace(status, problem=replace(problem, message=said))


def moment(text: str | None) -> datetime | None:
    """The engine's time, cut to microseconds; None for its year 1, which means never."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text)
