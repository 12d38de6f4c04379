"""Home: what of the member's runs, waits and has failed since yesterday, with a row for each sweep,
and how full the clusters are."""

from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models.functions import Now

from accounts.models import User
from clusters.models import Cluster
from clusters.queries import clusters_visible_to
from deployments.models import PLACED, UNENDED, Status
from deployments.queries.conditions import is_no_member
from deployments.queries.lists import deployments_of
from deployments.queries.sweeps import sweeps_visible_to
from mlops_platform.console.pages.amounts import Amount, amounts_of
from mlops_platform.console.pages.curves import Curve, curves_of
from mlops_platform.console.pages.rows import Row, for_rows, rows_of
from mlops_platform.console.pages.sweeps import SweepRow, sweep_rows

MOST_ROWS = 100
MOST_FAILED = 20
MOST_CURVES = 50
MOST_SWEEPS = 50  # the newest, of which those that have ended are left out
YESTERDAY = timedelta(days=1)


@dataclass(frozen=True)
class ClusterLine:
    id: str
    name: str
    organization: str
    amounts: tuple[Amount, ...]
    curve: Curve | None


@dataclass(frozen=True)
class Home:
    running: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    sweeps: list[SweepRow] = field(default_factory=list)
    """Of which members run or wait."""
    failed: list[Row] = field(default_factory=list)
    clusters: list[ClusterLine] = field(default_factory=list)
    is_cut: bool = False
    """Whether more of the member's wait or run than are shown."""


def home(user: User) -> Home:
    visible = clusters_visible_to(user)
    clusters = list(visible)
    mine = for_rows(deployments_of(visible.order_by())).narrowed(owner=user.pk)
    alone = mine.narrowed(statuses=UNENDED).that(is_no_member())
    found = alone.first_rows(MOST_ROWS + 1)
    sweeps = sweeps_visible_to(user).filter(owner=user.pk).defer("parameters")[:MOST_SWEEPS]
    failed = mine.filter(
        owner=user.pk,
        cluster__in=visible.order_by(),
        status=Status.FAILED,
        finished_at__gt=Now() - YESTERDAY,
    ).order_by("-finished_at")
    rows = rows_of(user, [*found[:MOST_ROWS], *failed[:MOST_FAILED]])
    waiting = [row for row in rows if row.status == Status.QUEUED]
    curves = curves_of([each.pk for each in clusters[:MOST_CURVES]])
    return Home(
        running=[row for row in rows if row.status in PLACED],
        waiting=sorted(waiting, key=lambda row: (row.position is None, row.position or 0)),
        sweeps=[row for row in sweep_rows(user, list(sweeps)) if not row.has_ended],
        failed=[row for row in rows if row.has_ended],
        clusters=[_line(each, curves.get(each.pk)) for each in clusters],
        is_cut=len(found) > MOST_ROWS,
    )


def _line(cluster: Cluster, curve: Curve | None) -> ClusterLine:
    return ClusterLine(
        str(cluster.pk), cluster.name, cluster.organization.name, amounts_of(cluster), curve
    )
