"""Traces of real clusters under any policy: the production planner under a virtual clock.

`traces.read` gives jobs, `clock.simulate` runs them through `scheduler.engine`, `figures.Figures`
sums up, report.py and pictures.py show. No Django here; the door is `manage.py simulate`.
"""

from scheduler.simulator.clock import simulate
from scheduler.simulator.jobs import Job, Result, SpecError, TraceError

__all__ = ["Job", "Result", "SpecError", "TraceError", "simulate"]
