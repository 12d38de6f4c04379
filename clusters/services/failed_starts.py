"""Writes what failed and successful starts say of nodes (clusters/nodes/failed_starts.py).

All changes are made under the cluster's lock, so no cycle plans with half of one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction

from clusters import recording
from clusters.models import Cluster, Node, NodeState
from clusters.nodes.failed_starts import FailedStarts, Failure, Limits, sentence
from clusters.services.clusters import lock_cluster
from clusters.services.node_changes import note_change
from organizations.events.models import OrganizationEventType as Type


class Verdict(NamedTuple):
    """A start has closed the node, or opened it."""

    node: Node
    deployment_id: str
    closed: bool
    next_try_at: datetime | None


def limits() -> Limits:
    return Limits(
        settings.NODE_FAILED_STARTS, settings.NODE_RETRY_FIRST_S, settings.NODE_RETRY_LAST_S
    )


def record(
    cluster_id: UUID,
    successes: Iterable[tuple[str, str]],
    failures: Sequence[tuple[str, Failure]],
    now: datetime,
) -> list[Verdict]:
    """Note the starts, successes first: (node id, deployment id) and (node id, failure). The caller
    has the cluster's lock.

    One query, none without starts; one for each node that has failed starts.
    """
    succeeded = list(successes)
    failed_on = {node_id for node_id, _ in failures}
    ids = failed_on | {node_id for node_id, _ in succeeded}
    if not ids:
        return []
    found = Node.objects.filter(cluster_id=cluster_id, pk__in=ids)
    if not failed_on:
        found = found.filter(failed_starts__isnull=False)
    nodes = {str(node.pk): node for node in found}
    records = {id_: FailedStarts.read(node.failed_starts) for id_, node in nodes.items()}
    verdicts = []
    for node_id, deployment_id in succeeded:
        node = nodes.get(node_id)
        if node is None or node.failed_starts is None:  # nothing has failed there
            continue
        if records[node_id].succeed(deployment_id):
            verdicts.append(Verdict(node, deployment_id, False, None))
    for node_id, failure in failures:
        if node_id in nodes and records[node_id].fail(failure, now, limits()):
            at = datetime.fromisoformat(str(records[node_id].next_try_at))
            verdicts.append(Verdict(nodes[node_id], failure.deployment_id, True, at))
    _save(cluster_id, nodes, records)
    return verdicts


def open_due(
    cluster_id: UUID, nodes: Mapping[str, Node], probing: Iterable[str], now: datetime
) -> bool:
    """Open the nodes whose pause is over, and those whose probe is not in `probing` any more, to
    one deployment; returns whether any was. No query where none is due."""
    still = set(probing)

    def is_due(node: Node) -> bool:
        found = FailedStarts.read(node.failed_starts)
        return found.is_due(now) or (found.probe is not None and found.probe not in still)

    due = [node.pk for node in nodes.values() if is_due(node)]
    if not due:
        return False
    with transaction.atomic():
        if not _lock(cluster_id):
            return False
        fresh = {str(node.pk): node for node in Node.objects.filter(pk__in=due) if is_due(node)}
        records = {id_: FailedStarts.read(node.failed_starts) for id_, node in fresh.items()}
        for each in records.values():
            each.await_probe()
        _save(cluster_id, fresh, records)
    return True


def take_probe(cluster_id: UUID, node: Node, deployment_id: str) -> bool:
    """Make the deployment the node's probe; False where the node awaits none any more."""
    with transaction.atomic():
        if not _lock(cluster_id):
            return False
        fresh = Node.objects.filter(pk=node.pk).first()
        found = FailedStarts.read(fresh.failed_starts if fresh else None)
        if fresh is None or not found.awaits_probe:
            return False
        found.probe = deployment_id
        _save(cluster_id, {str(fresh.pk): fresh}, {str(fresh.pk): found})
    return True


def _lock(cluster_id: UUID) -> bool:
    try:
        lock_cluster(cluster_id)
    except Cluster.DoesNotExist:
        return False
    return True


def _save(cluster_id: UUID, nodes: Mapping[str, Node], records: Mapping[str, FailedStarts]) -> None:
    """Write the records that have changed, and wake the scheduler where a node opens or closes."""
    turned: list[Node] = []
    for id_, node in nodes.items():
        column = records[id_].column()
        if FailedStarts().column() == column or node.failed_starts == column:
            continue
        judged = NodeState.CORDONED if records[id_].is_closed else NodeState.READY
        if node.judged != judged:
            turned.append(node)
        node.failed_starts, node.judged = column, judged
        node.save(update_fields=["failed_starts", "judged"])
    if turned:
        note_change(cluster_id)
    for type_, judged in (
        (Type.NODE_CLOSED, NodeState.CORDONED),
        (Type.NODE_OPENED, NodeState.READY),
    ):
        those = [node for node in turned if node.judged == judged]
        whys = [sentence(node.failed_starts) for node in those]
        recording.of_nodes(cluster_id, type_, those, whys)
