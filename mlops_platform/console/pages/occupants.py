"""What of a cluster is allocated to whom: in all, and node by node."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from accounts.models import User
from clusters.models import Cluster, Node, NodeState
from deployments.models import ALLOCATED, Deployment
from deployments.names import named
from mlops_platform.admin.markup import figure, ram
from mlops_platform.api.fields import cores
from mlops_platform.console.pages.amounts import Amount, amounts_of

MOST_OCCUPANTS = 10_000
"""Deployments of a cluster that are drawn."""
HUES = 6
"""Owners beside the member get one of so many colours, by what they have; the rest share one."""
MINE, OTHER, FREE, CLOSED = "mine", "other", "free", "closed"
_COLUMNS = (
    *("id", "name", "image", "kind", "owner_id", "owner__username", "priority_class__name"),
    *("cpu_milli", "ram_mib", "gpu", "replicas", "placement", "started_at", "due_at"),
)


@dataclass(frozen=True)
class Occupant:
    """A deployment with an allocation."""

    id: UUID
    name: str
    owner: str
    owner_id: UUID
    priority: str
    gpu: int
    """Of one replica, as `cpu_milli` and `ram_mib`."""
    cpu_milli: int
    ram_mib: int
    replicas: int
    placement: Sequence[Mapping[str, Any]]
    started_at: datetime | None
    due_at: datetime | None

    @property
    def said(self) -> str:
        """In a line: of whom, since when, and until when at most."""
        since = f", since {self.started_at:%Y-%m-%d %H:%M} UTC" if self.started_at else ""
        until = f", until {self.due_at:%Y-%m-%d %H:%M} UTC at most" if self.due_at else ""
        return f"{self.name} of {self.owner} ({self.priority}){since}{until}"


class Cell(NamedTuple):
    """Adjacent GPUs of a node that are the same deployment's, free or closed."""

    tone: str
    start: int
    gpus: int
    said: str


@dataclass(frozen=True)
class NodeLine:
    name: str
    state: str
    reason: str
    is_closed: bool
    gpu: int
    cells: list[Cell]
    cpu: Amount
    memory: Amount
    occupants: list[tuple[Occupant, int]] = field(default_factory=list)
    """With how many replicas."""


class OwnerLine(NamedTuple):
    owner: str
    tone: str
    gpu: int
    text: str
    deployments: int


def occupants_of(cluster: Cluster) -> tuple[list[Occupant], bool]:
    """Those that have an allocation, and whether more have than were read. One query."""
    rows = Deployment.objects.filter(ALLOCATED, cluster=cluster).order_by("id")
    found = list(rows.values_list(*_COLUMNS, named=True)[: MOST_OCCUPANTS + 1])
    return [_occupant(each) for each in found[:MOST_OCCUPANTS]], len(found) > MOST_OCCUPANTS


def _occupant(row: Any) -> Occupant:
    shown = named(row.id, row.name, row.owner__username, row.image, row.kind)
    return Occupant(
        id=row.id,
        name=shown.name,
        owner=row.owner__username,
        owner_id=row.owner_id,
        priority=row.priority_class__name,
        gpu=row.gpu,
        cpu_milli=row.cpu_milli,
        ram_mib=row.ram_mib,
        replicas=row.replicas,
        placement=row.placement or [],
        started_at=row.started_at,
        due_at=row.due_at,
    )


def owners_of(user: User, occupants: Iterable[Occupant], cluster: Cluster) -> list[OwnerLine]:
    """Who has how much, the largest share first; the member's own line has a colour of its own."""
    sums: dict[tuple[UUID, str], Counter[str]] = defaultdict(Counter)
    for each in occupants:
        mine = sums[each.owner_id, each.owner]
        mine["gpu"] += each.gpu * each.replicas
        mine["cpu"] += each.cpu_milli * each.replicas
        mine["ram"] += each.ram_mib * each.replicas
        mine["deployments"] += 1
    order = sorted(sums, key=lambda who: (-_share(sums[who], cluster), who[1]))
    others = [who for who in order if who[0] != user.pk]
    tones = {who: f"hue{at}" if at < HUES else OTHER for at, who in enumerate(others)}
    lines = []
    for who in order:
        has = sums[who]
        gpus = f"{has['gpu']} {'GPU' if has['gpu'] == 1 else 'GPUs'}, " if has["gpu"] else ""
        text = f"{gpus}{figure(cores(has['cpu']))} cores, {ram(has['ram'])}"
        tone = tones.get(who, MINE)
        lines.append(OwnerLine(who[1], tone, has["gpu"], text, has["deployments"]))
    return lines


def _share(has: Counter[str], cluster: Cluster) -> float:
    totals = {
        "gpu": cluster.total_gpu,
        "cpu": cluster.total_cpu_milli,
        "ram": cluster.total_ram_mib,
    }
    return max((has[name] / total for name, total in totals.items() if total), default=0)


def node_lines(
    nodes: Iterable[Node], occupants: Iterable[Occupant], owners: Iterable[OwnerLine]
) -> list[NodeLine]:
    """The nodes in their order, with what runs on each."""
    tones = {each.owner: each.tone for each in owners}
    on_node: dict[str, list[tuple[Occupant, int]]] = defaultdict(list)
    for each in occupants:
        for part in each.placement:
            on_node[str(part["node_id"])].append((each, part["replicas"]))
    return [_node_line(node, on_node.get(str(node.pk), []), tones) for node in nodes]


def _node_line(node: Node, here: list[tuple[Occupant, int]], tones: Mapping[str, str]) -> NodeLine:
    state = node.effective_state
    *_, cpu, memory = amounts_of(node)
    return NodeLine(
        name=node.name,
        state=state,
        reason=node.reason,
        is_closed=state != NodeState.READY,
        gpu=node.gpu,
        cells=_cells(node, here, tones, is_closed=state != NodeState.READY),
        cpu=cpu,
        memory=memory,
        occupants=here,
    )


def _cells(
    node: Node, here: list[tuple[Occupant, int]], tones: Mapping[str, str], *, is_closed: bool
) -> list[Cell]:
    cells, at = [], 0
    for occupant, replicas in here:
        count = min(occupant.gpu * replicas, node.gpu - at)
        if count > 0:
            cells.append(Cell(tones.get(occupant.owner, OTHER), at, count, occupant.said))
            at += count
    if at < node.gpu:
        said = "closed: nothing starts here" if is_closed else "free"
        cells.append(Cell(CLOSED if is_closed else FREE, at, node.gpu - at, said))
    return cells
