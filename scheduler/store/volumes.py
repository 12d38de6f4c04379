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
from scheduler.engine.snapshot import OTHER_THAN, VOLUME, Labels, Snapshot

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


def away_from(node_id: UUID, selector: Labels) -> Labels:
    """The selector of a workload that avoids the node."""
    return tuple(sorted([*selector, (f"{OTHER_THAN}{node_id}", "")]))


def avoided_in(snapshot: Snapshot) -> frozenset[str]:
    """The ids of the nodes that others are marked to be no part of."""
    names = (name for node in snapshot.nodes for name, _ in node.labels)
    return frozenset(name.removeprefix(OTHER_THAN) for name in names if name.startswith(OTHER_THAN))


def names_of(volumes: Iterable[Volume]) -> frozenset[str]:
    return frozenset(each.name for each in volumes)


def labels_of(node: Node, volumes: Iterable[Volume], avoided: Iterable[UUID] = ()) -> Labels:
    """The node's own labels, one for each of the volumes that it has, and one for each other node
    that a queued deployment avoids."""
    on_it = ((VOLUME + each.name, "") for each in volumes if each.is_on(node.name, node.labels))
    others = ((f"{OTHER_THAN}{each}", "") for each in avoided if each != node.pk)
    return tuple(sorted([*node.labels.items(), *on_it, *others]))


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
