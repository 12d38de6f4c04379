"""The jobs of a simulation, and its results."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Policy


class SpecError(Exception):
    """A cluster or policy that cannot be parsed; the message is a sentence."""


class TraceError(Exception):
    """A trace that cannot be parsed; the message names the file, the line and the fault."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}, line {line}: {what}")


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a trace. The job ends after `run_ms`; `limit_s` is the time limit set by its user.

    `request` is of one replica. Times count from the trace's own zero.
    """

    submit_ms: int
    run_ms: int
    request: Resources
    replicas: int = 1
    priority: str = "LOW"
    limit_s: int | None = None
    user: str = ""  # the submitting user; a trace without users has a single one


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs sorted by submit time; `dropped` counts the rows that are no runnable jobs, by cause."""

    jobs: list[Job]
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Fate:
    """The outcome of a job. Times in ms; `lost_ms` is work lost by evictions."""

    started_ms: int | None = None  # the first start
    ended_ms: int | None = None
    preemptions: int = 0
    lost_ms: int = 0


def _integers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Timeline:
    """Steps: the amounts in use, and the number of waiting jobs, from `at_ms[i]` to `at_ms[i +
    1]`."""

    at_ms: "array[int]" = field(default_factory=_integers)
    cpu_milli: "array[int]" = field(default_factory=_integers)
    ram_mib: "array[int]" = field(default_factory=_integers)
    gpu: "array[int]" = field(default_factory=_integers)
    waiting: "array[int]" = field(default_factory=_integers)

    def add(self, now_ms: int, used: Resources, waiting: int) -> None:
        """Add a step. It replaces an earlier step of the same moment."""
        if self.at_ms and self.at_ms[-1] == now_ms:
            for column in (self.at_ms, self.cpu_milli, self.ram_mib, self.gpu, self.waiting):
                column.pop()
        self.at_ms.append(now_ms)
        self.cpu_milli.append(used[0])
        self.ram_mib.append(used[1])
        self.gpu.append(used[2])
        self.waiting.append(waiting)


@dataclass(frozen=True, slots=True)
class Result:
    """One trace under one policy. `fates` has one entry per job, in the same order; a job that
    never started has no end.

    `passes` counts calls of the planner. `took_s` is real time, all other times are virtual.
    """

    policy: Policy
    total: Resources
    jobs: list[Job]
    fates: list[Fate]
    timeline: Timeline
    passes: int
    took_s: float
