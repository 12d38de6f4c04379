"""Between the tables and the engine: rows become a snapshot, and a plan changes rows."""

from scheduler.store.apply import StalePlanError, apply_plan
from scheduler.store.part_reader import Part, PartReader
from scheduler.store.queue.head import Decide
from scheduler.store.snapshot_reader import (
    empty_snapshots,
    part_reader,
    read_and_decide,
    see_one_moment,
)

__all__ = [
    "Decide",
    "Part",
    "PartReader",
    "StalePlanError",
    "apply_plan",
    "empty_snapshots",
    "part_reader",
    "read_and_decide",
    "see_one_moment",
]
