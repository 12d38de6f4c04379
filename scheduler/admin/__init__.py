"""The operators' home, and the pages of the ledger, the retention, and of clusters with queues and
deployments."""

from scheduler.admin.clusters import ScheduledClusterAdmin
from scheduler.admin.home import home_context
from scheduler.admin.ledger import SchedulingCycleAdmin
from scheduler.admin.queue import PAGES
from scheduler.admin.retention import RetentionAdmin

__all__ = [
    "PAGES",
    "RetentionAdmin",
    "ScheduledClusterAdmin",
    "SchedulingCycleAdmin",
    "home_context",
]
