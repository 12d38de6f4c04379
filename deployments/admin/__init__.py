"""The admin pages of deployments and priority classes."""

from deployments.admin.deployments import DeploymentAdmin
from deployments.admin.priority_classes import PriorityClassAdmin

__all__ = ["DeploymentAdmin", "PriorityClassAdmin"]
