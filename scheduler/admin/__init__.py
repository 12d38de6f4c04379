"""The admin pages of the ledger, the retention, and of clusters with queues and deployments."""

from scheduler.admin.clusters import ScheduledClusterAdmin
from scheduler.admin.ledger import SchedulingCycleAdmin
from scheduler.admin.retention import RetentionAdmin

__all__ = ["RetentionAdmin", "ScheduledClusterAdmin", "SchedulingCycleAdmin"]
