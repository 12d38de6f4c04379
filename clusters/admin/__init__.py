"""The operators' pages of clusters and nodes, and what every app's pages are made of.

Clusters are not registered here. A cluster's page also tells what waits and runs in it and asks for
a cycle, of which this app, the lower one, may not know: `scheduler.admin` extends ClusterAdmin by
that and registers it. The other way round, a signal that asks for a cycle, would carry the ring but
could not bring back the numbers.
"""

from clusters.admin.endpoints import EndpointAdmin
from clusters.admin.nodes import NodeAdmin
from clusters.admin.quotas import QuotaAdmin
from clusters.admin.registries import RegistryAdmin
from clusters.admin.sandboxes import SandboxAdmin

__all__ = ["EndpointAdmin", "NodeAdmin", "QuotaAdmin", "RegistryAdmin", "SandboxAdmin"]
