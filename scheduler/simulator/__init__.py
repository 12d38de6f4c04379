"""Traces of real clusters under any policy: the production planner under a virtual clock.

`traces.read` reads jobs, `clock.simulate` runs them through `scheduler.engine`, figures.py computes
the results, report.py and pictures.py present them. The package does not use Django;
`manage.py simulate` calls it.
"""

from scheduler.simulator.clock import simulate
from scheduler.simulator.jobs import Job, Result, SpecError, TraceError

__all__ = ["Job", "Result", "SpecError", "TraceError", "simulate"]
