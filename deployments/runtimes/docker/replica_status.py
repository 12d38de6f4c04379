"""The engine's lists and inspections, as sightings."""

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
    """One whose process runs; the list's status says in words what its health check found."""
    status = str(listed.get("Status", ""))
    trouble = None
    if listed["State"] != "running":
        trouble = Problem(Code.NOT_READY, f"The container is {listed['State']}.")
    elif "(unhealthy)" in status or "(health: starting)" in status:
        trouble = Problem(Code.NOT_READY)
    return ReplicaStatus(
        key,
        Phase.RUNNING,
        ready=trouble is None,
        trouble=trouble,
        started_at=started_at,
        node=node,
    )


def at_rest(key: Key, node: str, inspected: dict[str, Any]) -> ReplicaStatus:
    """One without a process: created, but not begun, or ended, or never able to begin."""
    state = inspected["State"]
    started_at = moment(state.get("StartedAt"))
    if state["Status"] == "created" and not state.get("Error"):
        return ReplicaStatus(key, Phase.PENDING, begun=False, node=node)
    if state.get("Running"):  # since it was listed
        return ReplicaStatus(key, Phase.RUNNING, started_at=started_at, node=node)
    ended_at = moment(state.get("FinishedAt"))
    if started_at and ended_at:  # it may note the end before it notes the start
        ended_at = max(started_at, ended_at)
    exit_code = int(state.get("ExitCode") or 0)
    return ReplicaStatus(
        key,
        Phase.ENDED,
        exit_code=exit_code if started_at else None,
        trouble=_trouble(state, exit_code, started_at),
        started_at=started_at,
        ended_at=ended_at,
        node=node,
    )


def _trouble(state: dict[str, Any], exit_code: int, started_at: datetime | None) -> Problem | None:
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


def explained(sighting: ReplicaStatus, last_words: Callable[[], str]) -> ReplicaStatus:
    """Docker's init says in the log what it could not execute, and so do shells. Who says nothing
    of the kind has ended with that code for a reason of its own."""
    trouble = sighting.trouble
    if trouble is None or trouble.code != Code.COMMAND_FAILED or trouble.message:
        return sighting
    said = one_line(last_words())
    if not NOT_FOUND.search(said):
        return replace(sighting, trouble=Problem(Code.EXITED))
    return replace(sighting, trouble=replace(trouble, message=said))


def moment(text: str | None) -> datetime | None:
    """The engine's nanoseconds cut to microseconds; its year 1 means never."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text)
