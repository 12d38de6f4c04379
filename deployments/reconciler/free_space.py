"""Whether those who yielded are physically gone: a node's capacity beside all that is on it.

An eviction passes capacity on in the books at once, so a node may still be full of what has been
told to end; and one that comes back after it was given up, of what ran there before. Whoever is
admitted there starts as soon as it fits beside what has not left yet.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from clusters.models import Node
from deployments.models import Deployment, Status
from deployments.placements import node_ids

_Amounts = tuple[int, int, int]


class InTheWay(NamedTuple):
    """Who yielded and has not left yet; nobody where only remains of earlier attempts are there."""

    lingering: list[UUID]


class FreeSpace:
    """What is free on the nodes of a cluster for those that are STARTING and not there yet."""

    def __init__(self, nodes: Mapping[str, Node], absent: Iterable[Deployment]) -> None:
        """`absent`: the rows that hold capacity in the books, but have not been launched."""
        self._free = {id_: _free(node) for id_, node in nodes.items()}
        for row in absent:
            self._add(row, 1)
        self._lingering: dict[str, list[UUID]] = {}
        self._littered: set[str] = set()

    @classmethod
    def of(
        cls,
        cluster_id: UUID,
        nodes: Mapping[str, Node],
        absent: Iterable[Deployment],
        remains: Iterable[tuple[str, Deployment]] = (),
    ) -> "FreeSpace":
        """With what lingers, read anew, and what is left of earlier attempts. One query."""
        room = cls(nodes, absent)
        for node_id, row in remains:
            room.remains(node_id, row)
        leaving = Deployment.objects.filter(
            cluster_id=cluster_id, status=Status.STOPPING, yielded=True
        )
        for row in leaving:
            room.lingers(row)
        return room

    def lingers(self, row: Deployment) -> None:
        self._add(row, -1)
        for node_id in set(node_ids(row)):
            self._lingering.setdefault(node_id, []).append(row.pk)

    def remains(self, node_id: str, row: Deployment) -> None:
        """A replica of an earlier attempt is there, and has been killed at best."""
        self._add_to(node_id, row, -1)
        self._littered.add(node_id)

    def take(self, row: Deployment) -> "InTheWay | None":
        """Room for all of its replicas: None. Else, untouched, what is in its way."""
        self._add(row, -1)
        short = [id_ for id_ in set(node_ids(row)) if min(self._free.get(id_, (0, 0, 0))) < 0]
        lingering = sorted({pk for id_ in short for pk in self._lingering.get(id_, ())})
        if not lingering and self._littered.isdisjoint(short):
            return None
        self._add(row, 1)
        return InTheWay(lingering)

    def _add(self, row: Deployment, sign: int) -> None:
        for node_id in node_ids(row):
            self._add_to(node_id, row, sign)

    def _add_to(self, node_id: str, row: Deployment, sign: int) -> None:
        if node_id in self._free:
            cpu_milli, ram_mib, gpu = self._free[node_id]
            self._free[node_id] = (
                cpu_milli + sign * row.cpu_milli,
                ram_mib + sign * row.ram_mib,
                gpu + sign * row.gpu,
            )


def _free(node: Node) -> _Amounts:
    return node.available_cpu_milli, node.available_ram_mib, node.available_gpu
