"""Names nodes and API servers that do not answer, to deployments there and to those that wait.

Read with each answer rather than stored, so that nothing has to be written or taken back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from clusters.models import Node, NodeState, Volume
from clusters.nodes.failed_starts import FailedStarts
from clusters.queries import nodes_away, silent_api_server, volumes_in
from deployments.models import Deployment, Status, WaitReason
from deployments.reasons.codes import (
    API_AWAY,
    API_AWAY_SINCE,
    AWAY_NODES,
    CLOSED_NODES,
    NODE_AWAY,
    render,
)
from deployments.reasons.failed_starts import FAILING_NODES, RETRY_AT

ON_A_NODE = (Status.RUNNING, Status.STOPPING)  # for STARTING rows the reconciler stores a reason


class NodesAway:
    """The nodes that do not answer now, or are cordoned for failed starts, as far as they concern
    some rows."""

    def __init__(self, rows: Iterable[Deployment], waits: Mapping[UUID, WaitReason]) -> None:
        """One query; none where no row is on a node or waits while nodes are closed. One more for
        each cluster in which such a row mounts volumes."""
        self._volumes: dict[UUID, list[Volume]] = {}
        node_ids, cluster_ids = set[str](), set[UUID]()
        for row in rows:
            if row.status in ON_A_NODE:
                node_ids |= {each["node_id"] for each in row.placement if each["node_id"]}
            elif row.pk in waits and waits[row.pk].details.get(CLOSED_NODES):
                cluster_ids.add(row.cluster_id)
        self._nodes = {str(node.pk): node for node in nodes_away(node_ids, cluster_ids)}

    def reason(self, row: Deployment) -> dict[str, Any] | None:
        """API_AWAY or NODE_AWAY, rendered, for a row that runs or stops on such a node; else
        None."""
        if row.status not in ON_A_NODE:
            return None
        for each in row.placement:
            node = self._nodes.get(each["node_id"])
            if node is not None and node.observed == NodeState.NOT_READY:
                if (server := silent_api_server(node)) is not None:
                    return render(API_AWAY, _since(server.away_since))
                since = node.not_ready_since
                if since is None and node.endpoint is not None:
                    since = node.endpoint.away_since
                return render(NODE_AWAY, {"node": node.name, **_since(since)})
        return None

    def add_to(self, row: Deployment, wait: WaitReason | None) -> WaitReason | None:
        """The reason with the number of closed nodes that fit the row and do not answer, and of
        those that are cordoned for failed starts."""
        if wait is None or not wait.details.get(CLOSED_NODES):
            return wait
        closed = [
            node
            for node in self._nodes.values()
            if node.cluster_id == row.cluster_id and self._fits(row, node)
        ]
        nodes = [node for node in closed if node.observed == NodeState.NOT_READY]
        failing = [node for node in closed if node.effective_state == NodeState.CORDONED]
        details = dict(wait.details)
        if away := min(len(nodes), details[CLOSED_NODES]):  # closed as of the last cycle
            details[AWAY_NODES] = away
        if cordoned := min(len(failing), details[CLOSED_NODES] - away):
            details[FAILING_NODES] = cordoned
            tries = [FailedStarts.read(node.failed_starts).next_try_at for node in failing]
            if first := min(filter(None, tries), default=None):
                details[RETRY_AT] = first
        servers = filter(None, map(silent_api_server, nodes))
        if (since := next((each.away_since for each in servers), None)) is not None:
            details[API_AWAY_SINCE] = since.isoformat()
        return WaitReason(code=wait.code, details=details)

    def _fits(self, row: Deployment, node: Node) -> bool:
        """Whether the node carries the row's labels, has its volumes, and is not the one that the
        row avoids."""
        if row.avoided_node_id == node.pk:
            return False
        mounted = {mount["name"] for mount in row.volumes}
        if mounted and row.cluster_id not in self._volumes:
            self._volumes[row.cluster_id] = list(volumes_in(row.cluster_id))
        return row.node_selector.items() <= node.labels.items() and all(
            volume.is_on(node.name, node.labels)
            for volume in (self._volumes[row.cluster_id] if mounted else ())
            if volume.name in mounted
        )


def _since(at: datetime | None) -> dict[str, str]:
    return {"since": at.isoformat()} if at else {}
