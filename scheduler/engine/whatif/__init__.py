"""Questions about one workload: what would let it start, when, and why nothing is evicted for it.

questions.py asks the planner about changed snapshots. later.py changes the time, earliest_start.py
searches for a moment, and spared.py finds why running workloads are spared.
"""

from scheduler.engine.whatif.earliest_start import EarliestStart
from scheduler.engine.whatif.later import at_moment, without
from scheduler.engine.whatif.questions import (
    EVERY_START,
    Unanswered,
    WhatIf,
    occupants,
    plan_with,
)
from scheduler.engine.whatif.spared import Cause, Spared

__all__ = [
    "EVERY_START",
    "Cause",
    "EarliestStart",
    "Spared",
    "Unanswered",
    "WhatIf",
    "at_moment",
    "occupants",
    "plan_with",
    "without",
]
