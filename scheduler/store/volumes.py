"""Volumes that only some nodes have, as labels of these nodes and of the workloads that mount them.

So the planner needs no code for volumes, and a ledger from before them replays. A volume that all
nodes have is no label: it decides nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from clusters.models import Cluster, Node, Volume
from deployments.models import Deployment
from scheduler.engine.snapshot import VOLUME, Labels

Volumes = Mapping[UUID, Sequence[Volume]]  # by cluster


def local_volumes(clusters: Iterable[Cluster]) -> Volumes:
    """The volumes that only some nodes have. One query, none where the clusters have none."""
    found: dict[UUID, list[Volume]] = defaultdict(list)
    concerned = [each.pk for each in clusters if each.has_local_volumes]
    if concerned:
        for volume in Volume.objects.filter(cluster__in=concerned).order_by("name"):
            if volume.is_local:
                found[volume.cluster_id].append(volume)
    return found


def names_of(volumes: Iterable[Volume]) -> frozenset[str]:
    return frozenset(each.name for each in volumes)


def labels_of(node: Node, volumes: Iterable[Volume]) -> Labels:
    """The node's own labels, and one for each of the volumes that it has."""
    on_it = ((VOLUME + each.name, "") for each in volumes if each.is_on(node.name, node.labels))
    return tuple(sorted([*node.labels.items(), *on_it]))


def selector_of(
    node_selector: Mapping[str, str], mounts: Iterable[Mapping[str, Any]], local: Collection[str]
) -> Labels:
    """What a node must carry for a workload; `local` are the names of its cluster's volumes that
    only some nodes have."""
    names = {mount["name"] for mount in mounts if mount["name"] in local} if local else set()
    return tuple(sorted([*node_selector.items(), *((VOLUME + name, "") for name in names)]))


def selector_in(cluster: Cluster, row: Deployment) -> Labels:
    """The same in a cluster that is not its own: what that does not offer, no node of it has. One
    query where the deployment mounts volumes."""
    local = {mount["name"] for mount in row.volumes}
    if local:
        for volume in Volume.objects.filter(cluster=cluster, name__in=local):
            if not volume.is_local:
                local.remove(volume.name)
    return selector_of(row.node_selector, row.volumes, local)
