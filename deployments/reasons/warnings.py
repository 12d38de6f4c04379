"""What a submit or a quote should know though nothing refuses it, in codes and sentences."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Q, prefetch_related_objects

from clusters.models import Node, Runtime
from deployments import hooks
from deployments.models import Deployment
from deployments.queries.peers import DEFAULT_NETWORK, NO_NETWORK, network_of
from deployments.reasons.codes import NO_CAPACITY_YET, PEERS_UNREACHABLE, render
from mlops_platform.api.resources import PUBLIC_NAMES, RESOURCES

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
    """Those of a deployment that has no placement yet. Queries as of `warnings_of_each`."""
    return warnings_of_each([row])[0]


def is_ordinary(row: Deployment) -> bool:
    """Whether some node, or the pool, could take its one replica if it were empty, so that there is
    nothing to warn of. One query."""
    if row.replicas > 1 or row.volumes or row.whole:
        return False
    large = Q(**{f"{name}__gte": getattr(row, name) for name in RESOURCES})
    labelled = Q(labels__contains=row.node_selector)
    nodes = Node.objects.filter(cluster=row.cluster_id).aggregate(
        all=Count("pk"), fitting=Count("pk", large & labelled)
    )
    if nodes["all"]:
        return bool(nodes["fitting"])
    return all(getattr(row, name) <= getattr(row.cluster, f"total_{name}") for name in RESOURCES)


def warnings_of_each(rows: Sequence[Deployment]) -> list[list[Warning]]:
    """Those of each of these deployments, in their order. One query where their clusters are not
    read yet, two for each cluster, and two more for each Docker cluster that has gangs among
    them."""
    gangs: dict[UUID, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row.replicas > 1:
            gangs[row.cluster_id].append(number)
    prefetch_related_objects(list(rows), "cluster")
    never = hooks.why_never(rows)
    found = [[_never(*never[row.pk])] if row.pk in never else [] for row in rows]
    for those in gangs.values():
        for number, warning in _of_peers({one: rows[one] for one in those}).items():
            found[number].append(warning)
    return found


def _never(code: str, details: Mapping[str, Any]) -> Warning:
    field = "cluster_id" if code == NO_CAPACITY_YET else _field(details)
    return Warning(code, field, render(code, details)["message"])


def _field(details: Mapping[str, Any]) -> str:
    """Of the submit, that which asks for too much."""
    if details.get("node_selector"):
        return "node_selector"
    if "volumes" in details:
        return "volumes"
    if "resource" in details:
        return f"required_{PUBLIC_NAMES[details['resource']]}"
    return "exclusive" if "whole" in details else "replicas"


def _of_peers(gangs: Mapping[int, Deployment]) -> dict[int, Warning]:
    """Those of gangs of one cluster, by number."""
    cluster = next(iter(gangs.values())).cluster
    if cluster.runtime != Runtime.DOCKER:
        return {}
    network = network_of(cluster)
    if network == NO_NETWORK:
        return dict.fromkeys(gangs, Warning(PEERS_UNREACHABLE, "replicas", WITHOUT_NETWORK))
    nodes = list(Node.objects.filter(cluster=cluster)) if network == DEFAULT_NETWORK else []
    if len(nodes) < 2:
        return {}
    most: dict[tuple[int, ...], int] = {}  # of replicas on one node, by what each asks for
    found = {}
    for number, row in gangs.items():
        asked = tuple(getattr(row, name) for name in RESOURCES)
        if asked not in most:
            most[asked] = max(_room(node, asked) for node in nodes)
        if (min(most[asked], 1) if row.whole else most[asked]) < row.replicas:
            found[number] = Warning(PEERS_UNREACHABLE, "replicas", TOO_MANY_FOR_ONE)
        else:
            found[number] = Warning(PEERS_MAY_BE_UNREACHABLE, "replicas", PERHAPS_SEVERAL)
    return found


def _room(node: Node, asked: tuple[int, ...]) -> int:
    """How many replicas the node, as it is when empty, would take."""
    return min(
        getattr(node, name) // amount
        for name, amount in zip(RESOURCES, asked, strict=True)
        if amount
    )
