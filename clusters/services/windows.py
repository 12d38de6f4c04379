"""Plans, changes, opens and ends maintenance windows. The caller has checked access.

All of it happens under the cluster's lock. So no cycle plans with half of a window, and two windows
that are planned at the same time are judged one after the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from rest_framework.exceptions import NotFound

from clusters import hooks, recording
from clusters.models import Cluster, MaintenanceWindow, Node, NodeState, WindowMode, WindowState
from clusters.nodes.maintenance import DRAIN_COLUMNS
from clusters.services.clusters import lock_cluster_or_404, refuse_closing
from clusters.services.node_changes import note_change
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.database.clock import database_now
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import columns_of

MOST_WINDOWS = 100  # of a cluster that have not ended
FURTHEST = timedelta(days=366)
KEPT = timedelta(days=90)  # so long a window is shown after its end
ONLY_PLANNED = ("begins_at", "mode", "node_names", "node_selector")
SETTINGS = [*ONLY_PLANNED, "ends_at", "reason"]


class Planned(NamedTuple):
    """A window, the names of its nodes, and of a dry run its effect (hooks.PreviewWindow)."""

    window: MaintenanceWindow
    nodes: list[str]
    effect: Mapping[str, Any] | None


def plan_window(
    cluster: Cluster, body: Mapping[str, Any], *, by: str, dry_run: bool = False
) -> Planned:
    """A new window. A dry run changes nothing, and says what it would do to what runs now.

    400 for times that have passed and for nodes that are not there, 409 where one of its nodes has
    a window then, and for more windows than a cluster may have.
    """
    with _locked(cluster.pk, keep=not dry_run) as locked:
        window = MaintenanceWindow(cluster=locked, created_by=by, **body)
        _set_times(window, body, database_now())
        open_ones = MaintenanceWindow.objects.filter(cluster=locked).exclude(
            state=WindowState.ENDED
        )
        if open_ones.count() >= MOST_WINDOWS:
            raise Conflict(
                f"A cluster may have {MOST_WINDOWS} windows at most.", code="too_many_windows"
            )
        nodes = _meant(window)
        _refuse_overlap(window, nodes)
        if not dry_run:
            window.save(force_insert=True)
            window.nodes.set(nodes)
            given = columns_of(window, SETTINGS)
            recording.of_part(locked, Type.WINDOW_CREATED, _target(window), None, given)
            note_change(locked.pk, has_windows=True)
    effect: Mapping[str, Any] | None = None
    if dry_run:
        effect = hooks.preview_window(cluster, nodes, window.mode, window.begins_at)
    window.cluster = cluster
    return Planned(window, sorted(node.name for node in nodes), effect)


def change_window(window: MaintenanceWindow, changes: Mapping[str, Any]) -> MaintenanceWindow:
    """Set what is given. 409 for a window that is over, and of one under way for all but its end
    and its reason; else as plan_window."""
    with _locked(window.cluster_id) as locked:
        row = _fresh(window)
        changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
        if row.state == WindowState.ENDED:
            raise Conflict("The window is over.", code="window_over")
        if row.state == WindowState.OPEN and (fixed := [n for n in ONLY_PLANNED if n in changed]):
            raise Conflict(
                f"The window is open: its {' and '.join(fixed)} can no longer change.",
                code="window_open",
            )
        if not changed:
            return row
        before = columns_of(row, list(changed))
        for name, value in changed.items():
            setattr(row, name, value)
        _set_times(row, changed, database_now())
        nodes = list(row.nodes.all())
        if "node_names" in changed or "node_selector" in changed:
            nodes = _meant(row)
            row.nodes.set(nodes)
        _refuse_overlap(row, nodes)
        row.save(update_fields=[*changed, "next_at"])
        after = columns_of(row, list(changed))
        recording.of_part(locked, Type.WINDOW_CHANGED, _target(row), before, after)
        for node in nodes:
            if row.state == WindowState.OPEN and _is_closed_by(node, row):
                node.drain = {**(node.drain or {}), **_shown_of(row)}
                node.save(update_fields=["drain"])
        note_change(row.cluster_id)
    return row


def delete_window(window: MaintenanceWindow) -> None:
    """Call the window off; one under way ends now."""
    with _locked(window.cluster_id) as locked:
        row = _fresh(window)
        target, before = _target(row), columns_of(row, SETTINGS)
        _end(row)
        row.delete()
        recording.of_part(locked, Type.WINDOW_DELETED, target, before, None)
        _windows_changed(row.cluster_id)


def turn(cluster_id: UUID) -> None:
    """Open and end what is due by the database's clock. One query where nothing is."""
    due = MaintenanceWindow.objects.filter(cluster=cluster_id, next_at__lte=Now())
    if not due.exists():
        return
    with suppress(NotFound), _locked(cluster_id, closing=True):
        now = database_now()
        found = list(due.order_by("next_at", "pk"))
        over = [window for window in found if window.ends_at <= now]
        for window in over:  # first: another one may begin as it ends
            _end(window)
        for window in found:
            if window.state == WindowState.PLANNED and window not in over:
                _open(window, now)
        MaintenanceWindow.objects.filter(cluster=cluster_id, ends_at__lt=now - KEPT).delete()
        _windows_changed(cluster_id)


def join(cluster: Cluster, nodes: Sequence[Node]) -> None:
    """Let new nodes into the windows whose words mean them, the first ones first; a node that would
    be in two at once stays out of the later one. No query where the cluster has no windows."""
    if not cluster.has_windows:
        return
    coming = MaintenanceWindow.objects.filter(cluster=cluster).exclude(state=WindowState.ENDED)
    inside: dict[UUID, list[MaintenanceWindow]] = {}
    for window in coming.order_by("begins_at", "pk"):
        for node in nodes:
            others = inside.setdefault(node.pk, [])
            if window.means(node.name, node.labels) and not any(
                window.crosses(other.begins_at, other.ends_at) for other in others
            ):
                others.append(window)
                window.nodes.add(node)
                if window.state == WindowState.OPEN:
                    _close(node, window, database_now())


def leave(node: Node) -> None:
    """Take the node out of a window under way: a user has opened it. The caller has the cluster's
    lock."""
    for window in node.windows.filter(state=WindowState.OPEN):
        window.nodes.remove(node)


def rename_node(cluster_id: UUID, before: str, after: str) -> None:
    """Name the node in the windows that name it; the caller has the cluster's lock. One query, and
    one more for each such window."""
    for window in MaintenanceWindow.objects.filter(
        cluster=cluster_id, node_names__contains=[before]
    ):
        names = {after if each == before else each for each in window.node_names}
        window.node_names = sorted(names)
        window.save(update_fields=["node_names"])


# --- Judging ------------------------------------------------------------------------------------


def _set_times(window: MaintenanceWindow, given: Mapping[str, Any], now: datetime) -> None:
    for name in ("begins_at", "ends_at"):
        if isinstance(after := getattr(window, name), timedelta):
            setattr(window, name, now + after)
    for name in ("begins_at", "ends_at"):
        at = getattr(window, name)
        if name in given and not now < at <= now + FURTHEST:
            raise Invalid({name: "Must be in the future, and within a year."})
    if window.ends_at <= window.begins_at:
        raise Invalid({"ends_at": "Must be after begins_at."})
    planned = window.state == WindowState.PLANNED
    window.next_at = window.begins_at if planned else window.ends_at


def _meant(window: MaintenanceWindow) -> list[Node]:
    """The nodes that its words mean. 400 where there are none, or not all that it names."""
    every = list(Node.objects.filter(cluster=window.cluster_id).order_by("pk"))
    if missing := sorted(set(window.node_names) - {node.name for node in every}):
        raise Invalid({"node_names": f"The cluster has no node {missing[0]}."})
    nodes = [node for node in every if window.means(node.name, node.labels)]
    if not nodes:
        field = "node_selector" if window.node_selector else "node_names"
        raise Invalid({field: "It means no node of the cluster."})
    return nodes


def _refuse_overlap(window: MaintenanceWindow, nodes: Iterable[Node]) -> None:
    """409 where a node would be in two windows at once. Two queries at most."""
    ids = {node.pk: node.name for node in nodes}
    others = MaintenanceWindow.objects.filter(
        cluster=window.cluster_id, begins_at__lt=window.ends_at, ends_at__gt=window.begins_at
    ).exclude(state=WindowState.ENDED)
    others = others.exclude(pk=window.pk).order_by("begins_at", "pk")
    for other in others.prefetch_related("nodes"):
        both = [ids[node.pk] for node in other.nodes.all() if node.pk in ids]
        if both:
            raise Conflict(
                f"{min(both)} has a window then: {other.reason}, from "
                f"{other.begins_at:%Y-%m-%d %H:%M} to {other.ends_at:%Y-%m-%d %H:%M} UTC.",
                code="window_overlaps",
            )


# --- Opening and ending -------------------------------------------------------------------------


def _open(window: MaintenanceWindow, now: datetime) -> None:
    for node in window.nodes.select_related("cluster").order_by("pk"):
        _close(node, window, now)
    window.state, window.next_at = WindowState.OPEN, window.ends_at
    window.save(update_fields=["state", "next_at"])


def _close(node: Node, window: MaintenanceWindow, now: datetime) -> None:
    """As users drain or cordon it. A node that they are draining, or have drained, stays theirs,
    and so does one that they have cordoned where the window would do no more."""
    before = node.state
    if before in (NodeState.DRAINING, NodeState.DRAINED):
        return
    if window.mode == WindowMode.CORDON:
        if before == NodeState.CORDONED:
            return
        node.state = NodeState.CORDONED
        node.drain = {**_shown_of(window), "before": before}
    else:
        node.begin_drain(
            window.mode, now=now, deadline=None, reason=window.reason, by=window.created_by or None
        )
        node.state = NodeState.DRAINING
        node.drain = {**(node.drain or {}), **_shown_of(window), "before": before}
        sizes = (node.allocated_cpu_milli, node.allocated_ram_mib, node.allocated_gpu)
        if not any(sizes) and node.pk not in hooks.terminating_nodes(node.cluster_id):
            node.finish_drain(now)
    node.save(update_fields=["state", *DRAIN_COLUMNS])
    recording.of_state(node)


def _shown_of(window: MaintenanceWindow) -> dict[str, Any]:
    return {
        "window": str(window.pk),
        "until": window.ends_at.isoformat(),
        "reason": window.reason,
        "by": window.created_by or None,
    }


def _end(window: MaintenanceWindow) -> None:
    """Give its nodes back their state from before, unless users have closed them meanwhile."""
    for node in window.nodes.select_related("cluster").order_by("pk"):
        if _is_closed_by(node, window):
            node.state = (node.drain or {}).get("before", NodeState.READY)
            node.forget_drain()
            node.save(update_fields=["state", *DRAIN_COLUMNS])
            recording.of_state(node)
    if window.state != WindowState.ENDED:
        window.state, window.next_at = WindowState.ENDED, None
        window.save(update_fields=["state", "next_at"])


def _is_closed_by(node: Node, window: MaintenanceWindow) -> bool:
    return (node.drain or {}).get("window") == str(window.pk)


def _target(window: MaintenanceWindow) -> tuple[TargetType, UUID, str]:
    return TargetType.WINDOW, window.pk, window.reason


def _windows_changed(cluster_id: UUID) -> None:
    coming = MaintenanceWindow.objects.filter(cluster=cluster_id).exclude(state=WindowState.ENDED)
    note_change(cluster_id, has_windows=coming.exists())


@contextmanager
def _locked(cluster_id: UUID, *, keep: bool = True, closing: bool = False) -> Iterator[Cluster]:
    """A transaction with the cluster's lock, without `keep` rolled back."""
    with transaction.atomic():
        locked = lock_cluster_or_404(cluster_id)
        if not closing:
            refuse_closing(locked)
        yield locked
        if not keep:
            transaction.set_rollback(True)


def _fresh(window: MaintenanceWindow) -> MaintenanceWindow:
    row = MaintenanceWindow.objects.filter(pk=window.pk, cluster=window.cluster_id).first()
    if row is None:
        raise not_found()
    return row
