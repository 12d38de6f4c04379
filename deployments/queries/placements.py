"""Reads placements: which nodes deployments are on."""

from uuid import UUID

from deployments.models import Deployment, Status


def node_ids(row: Deployment) -> list[str]:
    """The node id of each replica, in the order of the replicas' numbers."""
    return [str(each["node_id"]) for each in row.placement for _ in range(each["replicas"])]


def terminating_nodes(cluster_id: UUID) -> set[UUID]:
    """The nodes on which an evicted deployment has not ended yet. One query."""
    placements = Deployment.objects.filter(
        cluster=cluster_id, status=Status.STOPPING, yielded=True
    ).values_list("placement", flat=True)
    return {UUID(each["node_id"]) for placement in placements for each in placement}
