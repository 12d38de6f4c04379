"""What is physically free on a cluster's nodes, for deployments that are about to start.

An eviction hands the victim's allocation to its preemptor at once, so a node may still be full of
victims that have not ended. A node that returns after it was lost may be full of leftovers, the
replicas of earlier attempts. A deployment starts as soon as it fits beside both.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from clusters.models import Node
from deployments.models import Deployment, Status
from deployments.queries.placements import node_ids

_Amounts = tuple[int, int, int]  # cpu_milli, ram_mib, gpu


class Blocked(NamedTuple):
    """The deployment does not fit yet, for these victims; with none, for leftovers alone."""

    victims: list[UUID]


class FreeSpace:
    """What is free on each node for deployments that are STARTING and have no replica yet."""

    def __init__(self, nodes: Mapping[str, Node], waiting: Iterable[Deployment]) -> None:
        """`waiting`: the rows that have an allocation and no replica."""
        self._free = {
            id_: (node.free_cpu_milli, node.free_ram_mib, node.free_gpu)
            for id_, node in nodes.items()
        }
        for row in waiting:
            self._add(row, 1)
        self._victims: dict[str, list[UUID]] = {}
        self._with_leftovers: set[str] = set()

    @classmethod
    def read(
        cls,
        cluster_id: UUID,
        nodes: Mapping[str, Node],
        waiting: Iterable[Deployment],
        leftovers: Iterable[tuple[str, Deployment]] = (),
    ) -> "FreeSpace":
        """With the victims that have not ended, as the table has them now. One query."""
        free_space = cls(nodes, waiting)
        for node_id, row in leftovers:
            free_space.add_leftover(node_id, row)
        victims = Deployment.objects.filter(
            cluster_id=cluster_id, status=Status.STOPPING, yielded=True
        )
        for row in victims:
            free_space.add_victim(row)
        return free_space

    def add_victim(self, row: Deployment) -> None:
        self._add(row, -1)
        for node_id in set(node_ids(row)):
            self._victims.setdefault(node_id, []).append(row.pk)

    def add_leftover(self, node_id: str, row: Deployment) -> None:
        """One replica of an earlier attempt of the row; it may have been killed a moment ago."""
        self._add_to(node_id, row, -1)
        self._with_leftovers.add(node_id)

    def take(self, row: Deployment) -> Blocked | None:
        """Take the space of all the row's replicas: None. Takes nothing where it is blocked."""
        self._add(row, -1)
        short = [id_ for id_ in set(node_ids(row)) if min(self._free.get(id_, (0, 0, 0))) < 0]
        victims = sorted({pk for id_ in short for pk in self._victims.get(id_, ())})
        if not victims and self._with_leftovers.isdisjoint(short):
            return None
        self._add(row, 1)
        return Blocked(victims)

    def _add(self, row: Deployment, sign: int) -> None:
        for node_id in node_ids(row):
            self._add_to(node_id, row, sign)

    def _add_to(self, node_id: str, row: Deployment, sign: int) -> None:
        if node_id in self._free:
            free: _Amounts = self._free[node_id]
            self._free[node_id] = (
                free[0] + sign * row.cpu_milli,
                free[1] + sign * row.ram_mib,
                free[2] + sign * row.gpu,
            )
