"""How many members of each sweep have an allocation during a cycle, and how many may have one."""

from copy import copy

from scheduler.engine.resources import ENDLESS
from scheduler.engine.snapshot import Snapshot, SweepLimit, Workload


class SweepUsage:
    """The sweeps with a limit. The limit counts only against growth: lowered, it evicts nothing."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._limits = {each.id: each.limit for each in snapshot.sweeps}
        self._allocated = {each.id: each.allocated for each in snapshot.sweeps}

    def copy(self) -> "SweepUsage":
        """The same usage, to be changed on its own."""
        other = copy(self)
        other._allocated = self._allocated.copy()
        return other

    def limit(self, sweep: str) -> SweepLimit:
        """A sweep with a limit, at this moment of the cycle."""
        return SweepLimit(sweep, self._limits[sweep], self._allocated[sweep])

    def left(self, sweep: str) -> int:
        """How many more members may start."""
        if sweep not in self._limits:
            return ENDLESS
        return max(self._limits[sweep] - self._allocated[sweep], 0)

    def is_full(self, workload: Workload, ahead: int = 0) -> bool:
        """Whether no more members of the workload's sweep may start, after `ahead` others."""
        return workload.sweep in self._limits and self.left(workload.sweep) <= ahead

    def add(self, sweep: str, members: int) -> None:
        if sweep in self._allocated:
            self._allocated[sweep] += members
