"""What clusters ask of the apps above: each hook is a function that an upper app sets in its
`AppConfig.ready`. News go by signal (signals.py), questions go through here.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from clusters.models import Cluster


class DeleteWorkloads(Protocol):
    """Deletes all that was deployed in a cluster, in the caller's transaction, which has locked
    the cluster's row. Raises a Conflict where any of it is in use and `force` is not given."""

    def __call__(self, cluster: Cluster, *, force: bool) -> None: ...


class TerminatingNodes(Protocol):
    """The nodes of a cluster on which evicted workloads have not ended yet. The counters of
    allocated capacity no longer contain these. The caller has locked the cluster's row."""

    def __call__(self, cluster_id: UUID) -> Collection[UUID]: ...


def _delete_nothing(cluster: Cluster, *, force: bool) -> None:
    """Without an upper app nothing is deployed; foreign keys refuse what is there all the same."""


def _no_nodes(cluster_id: UUID) -> Collection[UUID]:
    return ()


delete_workloads: DeleteWorkloads = _delete_nothing
terminating_nodes: TerminatingNodes = _no_nodes
