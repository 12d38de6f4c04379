"""One cluster: what is allocated where and to whom, and the queue in its order."""

from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.db.models import Count, Q

from accounts.models import User
from clusters.models import Cluster, State
from clusters.queries import cluster_by_id, nodes_in
from deployments.models import Deployment
from mlops_platform.console.pages.amounts import Amount, amounts_of
from mlops_platform.console.pages.curves import Curve, curves_of
from mlops_platform.console.pages.occupants import (
    NodeLine,
    OwnerLine,
    node_lines,
    occupants_of,
    owners_of,
)
from mlops_platform.console.pages.rows import Row, rows_of
from organizations.access import require
from organizations.models import Role
from scheduler.answers.ahead import NO_SHARES, RULES
from scheduler.queries import queue_of

NODES_PER_PAGE = 50
MOST_WAITING = 50


@dataclass(frozen=True)
class ClusterPage:
    id: str
    name: str
    organization: str
    runtime: str
    state: str
    state_said: str
    amounts: tuple[Amount, ...]
    nodes: list[NodeLine] = field(default_factory=list)
    first_node: int = 1
    total_nodes: int = 0
    earlier_nodes: str = ""
    """The query string of the page before, as `later_nodes` of the next."""
    later_nodes: str = ""
    owners: list[OwnerLine] = field(default_factory=list)
    is_cut: bool = False
    """Whether more deployments have an allocation than are counted here."""
    waiting: list[Row] = field(default_factory=list)
    waits_more: bool = False
    rule: str = ""

    @property
    def last_node(self) -> int:
        return self.first_node + len(self.nodes) - 1

    @property
    def is_open(self) -> bool:
        return self.state == State.ACTIVE


def cluster_page(user: User, cluster_id: str, after: str) -> ClusterPage:
    """404 where the user may not see it. `after`: the name of the last node of the page before."""
    cluster = cluster_by_id(cluster_id)
    require(user, cluster.organization_id, Role.VIEWER)
    occupants, is_cut = occupants_of(cluster)
    owners = owners_of(user, occupants, cluster)
    named = nodes_in(cluster).order_by("name")
    rest = list(
        named.filter(name__gt=after)[: NODES_PER_PAGE + 1] if after else named[: NODES_PER_PAGE + 1]
    )
    nodes = rest[:NODES_PER_PAGE]
    total, before = len(nodes), 0
    if after or len(rest) > len(nodes):
        total, before = _counts(cluster, after)
    queue = _queue(cluster)
    return ClusterPage(
        id=str(cluster.pk),
        name=cluster.name,
        organization=cluster.organization.name,
        runtime=cluster.get_runtime_display(),
        state=cluster.state,
        state_said=_state_said(cluster),
        amounts=amounts_of(cluster),
        nodes=node_lines(nodes, occupants, owners),
        first_node=before + 1,
        total_nodes=total,
        earlier_nodes="?" if before else "",
        later_nodes="?" + urlencode({"after": nodes[-1].name}) if len(rest) > len(nodes) else "",
        owners=owners,
        is_cut=is_cut,
        waiting=rows_of(user, queue[:MOST_WAITING]),
        waits_more=len(queue) > MOST_WAITING,
        rule=_rule(cluster),
    )


@dataclass(frozen=True)
class CurvePage:
    id: str
    name: str
    curve: Curve | None


def curve_page(user: User, cluster_id: str) -> CurvePage:
    """404 where the user may not see it."""
    cluster = cluster_by_id(cluster_id)
    require(user, cluster.organization_id, Role.VIEWER)
    return CurvePage(str(cluster.pk), cluster.name, curves_of([cluster.pk]).get(cluster.pk))


def _queue(cluster: Cluster) -> list[Deployment]:
    """The first in line, and one more than is shown. Two queries."""
    rows = list(queue_of(cluster)[: MOST_WAITING + 1])
    for row in rows:
        row.cluster = cluster
    return rows


def _counts(cluster: Cluster, after: str) -> tuple[int, int]:
    """How many nodes there are, and how many of them come up to `after`. One query."""
    up_to = Count("id", filter=Q(name__lte=after))
    found = cluster.nodes.order_by().aggregate(total=Count("id"), before=up_to)
    return found["total"], found["before"] if after else 0


def _state_said(cluster: Cluster) -> str:
    change = cluster.state_change or {}
    by = f" by {change['by']}" if change.get("by") else ""
    why = f": {change['reason']}" if change.get("reason") else ""
    return f"since {change['at'][:16].replace('T', ' ')} UTC{by}{why}" if change else ""


def _rule(cluster: Cluster) -> str:
    """Which deployment comes first, in words."""
    steps = {
        "class": "the priority class",
        "share asked for": "the larger share of the cluster that is asked for, GPUs above all",
        "share allocated to the owner": "the owner with the smaller share of the cluster",
        "time": "the earlier submit",
    }
    order = [steps[each] for each in RULES.get(cluster.ordering, NO_SHARES)]
    return f"In the order of {', then '.join(order)}."
