"""The operators' pages of nodes, quotas, endpoints, registries, sandboxes,
volumes and maintenance windows.

Clusters are registered by `scheduler.admin`, which extends ClusterAdmin: the page of a cluster also
shows what waits and runs in it, and requests a cycle, which this lower app must not import.
"""

from clusters.admin.endpoints import EndpointAdmin
from clusters.admin.nodes import NodeAdmin
from clusters.admin.quotas import QuotaAdmin
from clusters.admin.registries import RegistryAdmin
from clusters.admin.sandboxes import SandboxAdmin
from clusters.admin.volumes import VolumeAdmin
from clusters.admin.windows import WindowAdmin

__all__ = [
    "EndpointAdmin",
    "NodeAdmin",
    "QuotaAdmin",
    "RegistryAdmin",
    "SandboxAdmin",
    "VolumeAdmin",
    "WindowAdmin",
]
