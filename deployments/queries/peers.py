"""How the replicas of a gang find each other, from what their rows and their cluster say."""

from clusters.models import Cluster, Runtime, Sandbox
from deployments.models import Deployment
from deployments.queries.placements import node_ids
from deployments.runtimes.peers import Peers, group_of

DEFAULT_NETWORK, NO_NETWORK = "bridge", "none"  # of a sandbox


def network_of(cluster: Cluster) -> str:
    """The network of the cluster's sandbox. One query."""
    networks = Sandbox.objects.filter(cluster=cluster).values_list("network", flat=True)
    return networks.first() or DEFAULT_NETWORK


def peers_of(row: Deployment, cluster: Cluster, network: str) -> Peers | None:
    """None for a deployment of one replica. Before the first attempt, the names are those that it
    will have."""
    if row.replicas == 1:
        return None
    return Peers(
        group=group_of(str(row.pk), max(row.attempt, 1)),
        replicas=row.replicas,
        gpu=row.gpu,
        reachable=not why_unreachable(row, cluster, network),
    )


def why_unreachable(row: Deployment, cluster: Cluster, network: str) -> str:
    """Why no network connects the replicas of a gang, as a sentence; empty where one does, and for
    a deployment of one replica."""
    if row.replicas == 1 or cluster.runtime != Runtime.DOCKER:
        return ""
    if network == NO_NETWORK:
        return "The cluster's sandbox gives containers no network."
    engines = len(set(node_ids(row)))
    if network == DEFAULT_NETWORK and engines > 1:
        return (
            f"They are on {engines} Docker engines, which share no network: an operator can "
            "name an attachable overlay network in the cluster's sandbox."
        )
    return ""
