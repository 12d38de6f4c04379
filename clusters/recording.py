"""Writes events of clusters, and of what belongs to them, to their organizations' feeds, in the
transaction of the change."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from clusters.models import Cluster, Node, NodeState
from mlops_platform.api.resources import RESOURCES
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import (
    Event,
    Target,
    columns_of,
    differing,
    record,
    record_all,
    shown,
)

SETTINGS = [
    field.name
    for field in Cluster._meta.concrete_fields
    if field.name
    not in {
        "id",
        "organization",
        "created_at",
        "changed_at",
        "evaluated_at",
        "deleted_at",
        "state_change",
        "has_quotas",
        "has_local_volumes",
        "has_sweeps",
        "has_windows",
    }
    and not field.name.startswith("allocated_")
]
"""The columns of a cluster that users set."""
NODE_SETTINGS = ["name", "labels", *RESOURCES]

OF_STATES = {
    NodeState.READY: OrganizationEventType.NODE_UNCORDONED,
    NodeState.CORDONED: OrganizationEventType.NODE_CORDONED,
    NodeState.DRAINING: OrganizationEventType.NODE_DRAINING,
    NodeState.DRAINED: OrganizationEventType.NODE_DRAINED,
}


def of_cluster(
    cluster: Cluster,
    type_: OrganizationEventType,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """One query, none where `before` and `after` are the same."""
    of_part(cluster, type_, (TargetType.CLUSTER, cluster.pk, cluster.name), before, after)


def cluster_created(cluster: Cluster) -> None:
    of_cluster(cluster, OrganizationEventType.CLUSTER_CREATED, None, columns_of(cluster, SETTINGS))


def of_part(
    cluster: Cluster,
    type_: OrganizationEventType,
    target: tuple[TargetType, UUID | str | None, str],
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Of what belongs to a cluster: by type, id and name. One query, none where `before` and
    `after` are the same."""
    if before is not None and after is not None:
        before, after = differing(before, after)
        if not after:
            return
    record(
        cluster.organization_id,
        type_,
        Target(*target, cluster.pk),
        before=shown(before) if before else None,
        after=shown(after) if after else None,
    )


def of_node(
    node: Node,
    type_: OrganizationEventType,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """One query, one more where the cluster is not at hand; none where `before` and `after` are
    the same."""
    of_part(node.cluster, type_, (TargetType.NODE, node.pk, node.name), before, after)


def of_state(node: Node) -> None:
    """Of the state that users want, which has changed, and of the drain that is under way. As
    of_node."""
    drain = node.drain or {}
    facts = {
        "state": node.state,
        "mode": drain.get("mode"),
        "deadline": node.drain_deadline,
        "reason": drain.get("reason"),
        "then": node.pending if node.pending is None else shown(node.pending),
    }
    of_node(node, OF_STATES[NodeState(node.state)], None, {k: v for k, v in facts.items() if v})


def of_nodes(
    cluster_id: UUID,
    type_: OrganizationEventType,
    nodes: Sequence[Node],
    reasons: Iterable[str] | None = None,
) -> None:
    """The same of several nodes, without columns but why. Two queries, none for none."""
    if not nodes:
        return
    clusters = Cluster.with_deleted.filter(pk=cluster_id)
    organization_id = clusters.values_list("organization_id", flat=True).get()
    whys = list(reasons) if reasons is not None else [""] * len(nodes)
    record_all(
        Event(
            organization_id,
            type_,
            Target(TargetType.NODE, node.pk, node.name, cluster_id),
            after={"reason": why} if why else None,
        )
        for node, why in zip(nodes, whys, strict=True)
    )
