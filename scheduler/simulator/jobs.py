"""What is simulated, and what becomes of it."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Policy


class SpecError(Exception):
    """A cluster or policy that cannot be understood, in a sentence."""


class TraceError(Exception):
    """A trace that cannot be understood; names the file, the line and what is wrong there."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}, line {line}: {what}")


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a trace. It ends after `run_ms`; `limit_s` is what its owner promised.

    `request` is that of one replica. Times count from the trace's own zero.
    """

    submit_ms: int
    run_ms: int
    request: Resources
    replicas: int = 1
    priority: str = "LOW"
    limit_s: int | None = None
    user: str = ""  # who submitted it; where the trace does not tell, all are one user's


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs in the order of their submits; `dropped` counts rows that were no runnable jobs."""

    jobs: list[Job]
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Fate:
    """What became of a job. Times in ms; `lost_ms` is work that was done and thrown away."""

    started_ms: int | None = None  # for the first time
    ended_ms: int | None = None
    preemptions: int = 0
    lost_ms: int = 0


def _integers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Timeline:
    """Steps: from `at_ms[i]` to `at_ms[i + 1]` so much was in use, and so many were waiting."""

    at_ms: "array[int]" = field(default_factory=_integers)
    cpu_milli: "array[int]" = field(default_factory=_integers)
    ram_mib: "array[int]" = field(default_factory=_integers)
    gpu: "array[int]" = field(default_factory=_integers)
    waiting: "array[int]" = field(default_factory=_integers)

    def add(self, now_ms: int, used: Resources, waiting: int) -> None:
        """A later step at the same moment replaces the earlier one."""
        if self.at_ms and self.at_ms[-1] == now_ms:
            for line in (self.at_ms, self.cpu_milli, self.ram_mib, self.gpu, self.waiting):
                line.pop()
        self.at_ms.append(now_ms)
        self.cpu_milli.append(used[0])
        self.ram_mib.append(used[1])
        self.gpu.append(used[2])
        self.waiting.append(waiting)


@dataclass(frozen=True, slots=True)
class Result:
    """One trace under one policy. `fates` go with the jobs; who never started has no end.

    `passes` counts calls of the planner; `took_s` is real time, all else virtual.
    """

    policy: Policy
    total: Resources
    jobs: list[Job]
    fates: list[Fate]
    timeline: Timeline
    passes: int
    took_s: float
