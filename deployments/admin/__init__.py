"""The admin pages of deployments, sweeps and priority classes."""

from deployments.admin.deployments import DeploymentAdmin
from deployments.admin.priority_classes import PriorityClassAdmin
from deployments.admin.sweeps import SweepAdmin

__all__ = ["DeploymentAdmin", "PriorityClassAdmin", "SweepAdmin"]
