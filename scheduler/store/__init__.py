"""Between the tables and the engine: what is told to the planner, and what is made of its plan."""

from scheduler.store.apply import StalePlanError, apply_plan
from scheduler.store.load import load_snapshot, read_snapshot, see_one_moment
from scheduler.store.times import milliseconds, moment

__all__ = [
    "StalePlanError",
    "apply_plan",
    "load_snapshot",
    "milliseconds",
    "moment",
    "read_snapshot",
    "see_one_moment",
]
