"""Names nodes that do not answer, to deployments on them and to deployments that wait for them.

Read with each answer rather than stored, so that nothing has to be written or taken back.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from clusters.queries import nodes_away
from deployments.models import Deployment, Status, WaitReason
from deployments.reasons.codes import AWAY_NODES, CLOSED_NODES, NODE_AWAY, render

ON_A_NODE = (Status.RUNNING, Status.STOPPING)  # for STARTING rows the reconciler stores a reason


class NodesAway:
    """The nodes that do not answer now, as far as they concern some rows."""

    def __init__(self, rows: Iterable[Deployment], waits: Mapping[UUID, WaitReason]) -> None:
        """One query; none where no row is on a node or waits while nodes are closed."""
        node_ids, cluster_ids = set[str](), set[UUID]()
        for row in rows:
            if row.status in ON_A_NODE:
                node_ids |= {each["node_id"] for each in row.placement if each["node_id"]}
            elif row.pk in waits and waits[row.pk].details.get(CLOSED_NODES):
                cluster_ids.add(row.cluster_id)
        self._nodes = {str(node.pk): node for node in nodes_away(node_ids, cluster_ids)}

    def reason(self, row: Deployment) -> dict[str, Any] | None:
        """NODE_AWAY, rendered, for a row that runs or stops on such a node; else None."""
        if row.status not in ON_A_NODE:
            return None
        for each in row.placement:
            node = self._nodes.get(each["node_id"])
            if node is not None:
                since = node.not_ready_since
                details = {"since": since.isoformat()} if since else {}
                return render(NODE_AWAY, {"node": node.name, **details})
        return None

    def add_to(self, row: Deployment, wait: WaitReason | None) -> WaitReason | None:
        """The reason with the number of closed nodes that fit the row and do not answer."""
        if wait is None or not wait.details.get(CLOSED_NODES):
            return wait
        selector = row.node_selector.items()
        count = sum(
            node.cluster_id == row.cluster_id and selector <= node.labels.items()
            for node in self._nodes.values()
        )
        if not count:
            return wait
        away = min(count, wait.details[CLOSED_NODES])  # closed as of the last cycle
        return WaitReason(code=wait.code, details={**wait.details, AWAY_NODES: away})
