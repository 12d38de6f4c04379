"""What a submit or a quote should know though nothing refuses it, in codes and sentences."""

from typing import NamedTuple

from clusters.models import Cluster, Node, Runtime
from deployments.models import Deployment
from deployments.queries.peers import DEFAULT_NETWORK, NO_NETWORK, network_of
from deployments.reasons.codes import PEERS_UNREACHABLE
from mlops_platform.api.resources import RESOURCES

PEERS_MAY_BE_UNREACHABLE = "PEERS_MAY_BE_UNREACHABLE"
WITHOUT_NETWORK = (
    "Its replicas cannot reach each other: the cluster's sandbox gives containers no network."
)
NO_COMMON_NETWORK = (
    "which share no network: an operator can name an attachable overlay network in the cluster's "
    "sandbox."
)
TOO_MANY_FOR_ONE = (
    f"Its replicas do not fit on one Docker engine, and will be on several, {NO_COMMON_NETWORK}"
)
PERHAPS_SEVERAL = f"Its replicas may be placed on several Docker engines, {NO_COMMON_NETWORK}"


class Warning(NamedTuple):  # noqa: A001 - the API's word; none of Python's is raised here
    """`field`: of the submit, that which to change."""

    code: str
    field: str
    message: str


def warnings_of(row: Deployment) -> list[Warning]:
    """Those of a deployment that has no placement yet. Two queries for a gang in a Docker cluster,
    none for all others."""
    return [each for each in (_of_peers(row, row.cluster),) if each is not None]


def _of_peers(row: Deployment, cluster: Cluster) -> Warning | None:
    if row.replicas == 1 or cluster.runtime != Runtime.DOCKER:
        return None
    network = network_of(cluster)
    if network == NO_NETWORK:
        return Warning(PEERS_UNREACHABLE, "replicas", WITHOUT_NETWORK)
    nodes = list(Node.objects.filter(cluster=cluster)) if network == DEFAULT_NETWORK else []
    if len(nodes) < 2:
        return None
    if max(_room(node, row) for node in nodes) < row.replicas:
        return Warning(PEERS_UNREACHABLE, "replicas", TOO_MANY_FOR_ONE)
    return Warning(PEERS_MAY_BE_UNREACHABLE, "replicas", PERHAPS_SEVERAL)


def _room(node: Node, row: Deployment) -> int:
    """How many replicas the node, as it is when empty, would take."""
    return min(
        getattr(node, name) // amount for name in RESOURCES if (amount := getattr(row, name))
    )
