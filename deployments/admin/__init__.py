"""The admin pages of deployments, sweeps, priority classes and usage."""

from deployments.admin.deployments import DeploymentAdmin
from deployments.admin.house_rules import HouseRulesAdmin
from deployments.admin.priority_classes import PriorityClassAdmin
from deployments.admin.sweeps import SweepAdmin
from deployments.admin.usage import AllocationIntervalAdmin, PriceAdmin, UsageOfDayAdmin

__all__ = [
    "AllocationIntervalAdmin",
    "DeploymentAdmin",
    "HouseRulesAdmin",
    "PriceAdmin",
    "PriorityClassAdmin",
    "SweepAdmin",
    "UsageOfDayAdmin",
]
