"""Whether those who yielded are physically gone: a node's capacity beside all that is on it.

An eviction passes capacity on in the books at once, so a node may still be full of what has been
told to end. Whoever is admitted there starts as soon as it fits beside what has not left yet.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from clusters.models import Node
from deployments.models import Deployment, Status
from deployments.reconciler.site import placed

_Amounts = tuple[int, int, int]


class Room:
    """What is free on the nodes of a cluster for those that are STARTING and not there yet."""

    def __init__(self, nodes: Mapping[str, Node], absent: Iterable[Deployment]) -> None:
        """`absent`: the rows that hold capacity in the books, but have not been launched."""
        self._free = {id_: _free(node) for id_, node in nodes.items()}
        for row in absent:
            self._add(row, 1)
        self._lingering: dict[str, list[UUID]] = {}

    @classmethod
    def of(
        cls, cluster_id: UUID, nodes: Mapping[str, Node], absent: Iterable[Deployment]
    ) -> "Room":
        """With what lingers, read anew. One query."""
        room = cls(nodes, absent)
        leaving = Deployment.objects.filter(
            cluster_id=cluster_id, status=Status.STOPPING, yielded=True
        )
        for row in leaving:
            room.lingers(row)
        return room

    def lingers(self, row: Deployment) -> None:
        self._add(row, -1)
        for node_id in set(placed(row)):
            self._lingering.setdefault(node_id, []).append(row.pk)

    def take(self, row: Deployment) -> list[UUID]:
        """Room for all of its replicas: nothing is in its way. Else, untouched, who is."""
        self._add(row, -1)
        short = [id_ for id_ in set(placed(row)) if min(self._free.get(id_, (0, 0, 0))) < 0]
        in_the_way = sorted({pk for id_ in short for pk in self._lingering.get(id_, ())})
        if in_the_way:
            self._add(row, 1)
        return in_the_way

    def _add(self, row: Deployment, sign: int) -> None:
        for node_id in placed(row):
            if node_id in self._free:
                cpu_milli, ram_mib, gpu = self._free[node_id]
                self._free[node_id] = (
                    cpu_milli + sign * row.cpu_milli,
                    ram_mib + sign * row.ram_mib,
                    gpu + sign * row.gpu,
                )


def _free(node: Node) -> _Amounts:
    return node.available_cpu_milli, node.available_ram_mib, node.available_gpu
