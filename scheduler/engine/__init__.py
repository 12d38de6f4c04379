"""The pure core: a frozen Snapshot in, a Plan out. No Django, no clock, no randomness, no I/O.

`make_plan` (cycle.py) is the way in; `check` (check.py) judges any plan against its snapshot;
codec.py writes both down for the ledger. ENGINE_VERSION changes whenever the same snapshot may
give another plan.
"""

from scheduler.engine.cycle import make_plan
from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import Snapshot

ENGINE_VERSION = "6"

__all__ = ["ENGINE_VERSION", "Plan", "Snapshot", "make_plan"]
