"""Between the tables and the engine: what is told to the planner, and what is made of its plan."""

from scheduler.store.apply import StalePlanError, apply_plan
from scheduler.store.snapshot_reader import (
    empty_snapshots,
    load_snapshot,
    read_snapshot,
    see_one_moment,
)

__all__ = [
    "StalePlanError",
    "apply_plan",
    "empty_snapshots",
    "load_snapshot",
    "read_snapshot",
    "see_one_moment",
]
