"""The operators' pages of the ledger, and of clusters with what the scheduler knows of them."""

from scheduler.admin.clusters import ScheduledClusterAdmin
from scheduler.admin.ledger import SchedulingCycleAdmin

__all__ = ["ScheduledClusterAdmin", "SchedulingCycleAdmin"]
