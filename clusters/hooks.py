"""What clusters ask of the apps above: each hook is a function that an upper app sets in its
`AppConfig.ready`. News go by signal (signals.py), questions go through here.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from clusters.models import Cluster, Node


class CountInUse(Protocol):
    """How many workloads of a cluster wait or run. The caller has locked the cluster's row."""

    def __call__(self, cluster: Cluster) -> int: ...


class DeleteSomeRows(Protocol):
    """Deletes up to `most` rows that belong to a deleted cluster, in a transaction of its own.
    Returns how many; 0 once none is left."""

    def __call__(self, cluster_id: UUID, most: int) -> int: ...


class LeaveCluster(Protocol):
    """Removes what a deleted cluster has outside of the tables, at its endpoints and in Redis. No
    transaction is open, and it may be called again."""

    def __call__(self, cluster: Cluster) -> None: ...


class TerminatingNodes(Protocol):
    """The nodes of a cluster on which evicted workloads have not ended yet. The counters of
    allocated capacity no longer contain these. The caller has locked the cluster's row."""

    def __call__(self, cluster_id: UUID) -> Collection[UUID]: ...


class PreviewDrain(Protocol):
    """What a drain of the node would do to what runs there: DrainEffectSerializer's values."""

    def __call__(self, node: Node, mode: str, deadline: datetime | None) -> Mapping[str, Any]: ...


class PreviewWindow(Protocol):
    """What a window of these nodes would do to what runs there now, and still may at its begin:
    DrainEffectSerializer's values."""

    def __call__(
        self, cluster: Cluster, nodes: Sequence[Node], mode: str, begins_at: datetime
    ) -> Mapping[str, Any]: ...


class VolumeUsers(Protocol):
    """The deployments that mount a cluster's volume of this name and have not ended: how many, and
    what the first of them are called. The caller has locked the volume's row."""

    def __call__(self, cluster_id: UUID, name: str) -> tuple[int, Sequence[str]]: ...


def _none_in_use(cluster: Cluster) -> int:
    return 0


def _leave_nothing(cluster: Cluster) -> None:
    """Without an upper app nothing is deployed, so there is nothing to leave."""


def _no_effect() -> Mapping[str, Any]:
    total = dict.fromkeys(("deployments", "waiting", "lost_s", "lost_gpu_s"), 0)
    return {"total": total, "deployments": [], "complete": True}


def _no_effect_of_drain(node: Node, mode: str, deadline: datetime | None) -> Mapping[str, Any]:
    return _no_effect()


def _no_effect_of_window(
    cluster: Cluster, nodes: Sequence[Node], mode: str, begins_at: datetime
) -> Mapping[str, Any]:
    return _no_effect()


def _no_users(cluster_id: UUID, name: str) -> tuple[int, Sequence[str]]:
    return 0, ()


def _no_nodes(cluster_id: UUID) -> Collection[UUID]:
    return ()


count_in_use: CountInUse = _none_in_use
delete_some_rows: list[DeleteSomeRows] = []
"""Each upper app with rows of clusters appends its function."""
leave_cluster: LeaveCluster = _leave_nothing
preview_drain: PreviewDrain = _no_effect_of_drain
preview_window: PreviewWindow = _no_effect_of_window
terminating_nodes: TerminatingNodes = _no_nodes
volume_users: VolumeUsers = _no_users
