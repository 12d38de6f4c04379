"""The pure core: a frozen Snapshot in, a Plan out. No Django, no clock, no randomness, no I/O.

`decide` (decision.py) is the way in, and `make_plan` where only the plan is wanted; `check`
(invariants.py) judges a plan by its snapshot; codec.py writes both down for the ledger.
ENGINE_VERSION changes whenever the same snapshot may give another plan.
"""

from scheduler.engine.decision import Decision, decide, make_plan
from scheduler.engine.plan import Plan
from scheduler.engine.snapshot import Snapshot

ENGINE_VERSION = "21"

__all__ = ["ENGINE_VERSION", "Decision", "Plan", "Snapshot", "decide", "make_plan"]
