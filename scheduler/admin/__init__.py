"""The admin pages of the ledger, and of clusters with their queues and running deployments."""

from scheduler.admin.clusters import ScheduledClusterAdmin
from scheduler.admin.ledger import SchedulingCycleAdmin

__all__ = ["ScheduledClusterAdmin", "SchedulingCycleAdmin"]
