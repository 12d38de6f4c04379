"""Nodes that do not answer, for those who are on one and for those who wait for its room.

Found when it is asked for: it holds for as long as it is so, and nothing has to be written or taken
back.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from clusters.queries import nodes_away
from deployments.models import Deployment, Status, WaitReason
from deployments.reasons import AWAY_NODES, CLOSED_NODES, NODE_AWAY, render

ON_A_NODE = (Status.RUNNING, Status.STOPPING)  # one that is STARTING is told by its runtime's pass


class Away:
    """The nodes that are away now, as far as they concern some rows."""

    def __init__(self, rows: Iterable[Deployment], waits: Mapping[UUID, WaitReason]) -> None:
        """One query; none where nobody is on a node, and nobody waits for one that is closed."""
        on, waiting = set[str](), set[UUID]()
        for row in rows:
            if row.status in ON_A_NODE:
                on |= {place["node_id"] for place in row.placement if place["node_id"]}
            elif row.pk in waits and waits[row.pk].details.get(CLOSED_NODES):
                waiting.add(row.cluster_id)
        self._nodes = {str(node.pk): node for node in nodes_away(on, waiting)}

    def reason(self, row: Deployment) -> dict[str, Any] | None:
        """That a node on which it runs or stops does not answer, rendered; None where all do."""
        if row.status not in ON_A_NODE:
            return None
        for place in row.placement:
            node = self._nodes.get(place["node_id"])
            if node is not None:
                since = node.not_ready_since
                told = {"since": since.isoformat()} if since else {}
                return render(NODE_AWAY, {"node": node.name, **told})
        return None

    def told(self, row: Deployment, wait: WaitReason | None) -> WaitReason | None:
        """The same reason, with how many of the closed nodes that it might use do not answer."""
        if wait is None or not wait.details.get(CLOSED_NODES):
            return wait
        wanted = row.node_selector.items()
        count = sum(
            node.cluster_id == row.cluster_id and wanted <= node.labels.items()
            for node in self._nodes.values()
        )
        if not count:
            return wait
        away = min(count, wait.details[CLOSED_NODES])  # which are as the last cycle found them
        return WaitReason(code=wait.code, details={**wait.details, AWAY_NODES: away})
