"""Adds, changes, drains and deletes nodes. The caller has checked access.

All changes are made under the cluster's lock, so no cycle plans with half of one. A change that a
node's allocation forbids waits until a drain has emptied the node (node_changes.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from rest_framework.exceptions import NotFound

from clusters import hooks, recording
from clusters.models import Cluster, DrainMode, Node, NodeState
from clusters.nodes.maintenance import DRAIN_COLUMNS
from clusters.services import volumes, windows
from clusters.services.clusters import lock_cluster_or_404
from clusters.services.node_changes import DELETE, apply_pending, follow_nodes, note_change, remove
from clusters.signals import node_renamed
from mlops_platform.api.errors import Conflict, not_found
from mlops_platform.api.resources import RESOURCES, UNITS, amount_in_words, public_amount
from mlops_platform.database.clock import database_now
from organizations.events.models import OrganizationEventType as Type
from organizations.events.recording import columns_of

MOST_NODES = 10_000


def add_node(cluster: Cluster, columns: Mapping[str, Any]) -> Node:
    """A new node; attach.py has checked its endpoint, and that nodes may be added here.

    The first node turns a pool into a cluster of nodes: 409 where capacity is allocated in the
    pool, for a name that another node has, and for more nodes than a cluster may have.
    """
    with _locked(cluster.pk, columns["name"]) as locked:
        count = locked.nodes.count()
        if count >= MOST_NODES:
            raise Conflict(f"A cluster may have {MOST_NODES} nodes at most.", code="too_many_nodes")
        if count == 0 and any(_allocated(locked)):
            raise Conflict(
                f"{_allocated_in_words(locked)} are allocated in the pool, and no node: set the "
                "cluster's state to DRAINING, add its nodes once it is empty, and set it to ACTIVE "
                "again.",
                code="cluster_in_use",
            )
        node = Node.objects.create(cluster=locked, **columns)
        given = columns_of(node, recording.NODE_SETTINGS)
        recording.of_node(node, Type.NODE_CREATED, None, given)
        windows.join(locked, [node])
        follow_nodes(locked.pk)
    return node


def change_node(node: Node, changes: Mapping[str, Any], *, drain: bool = False) -> Node:
    """Set the given columns (name, labels, sizes) and wake the scheduler where it reads them.

    409 where a size would fall below what is allocated. With `drain` the node is drained instead,
    and gets its new sizes and its former state once it is empty.
    """
    with _locked(node.cluster_id, changes.get("name")):
        node = _fresh(node)
        before = columns_of(node, recording.NODE_SETTINGS)
        sizes = {name: changes[name] for name in RESOURCES if name in changes}
        resized = any(_intended(node)[name] != size for name, size in sizes.items())
        if resized:
            _resize(node, sizes, drain=drain)
        _own_sizes(node, sizes)
        changed = _set_name_and_labels(node, changes)
        if "labels" in changed and not resized:
            note_change(node.cluster_id)
        after = columns_of(node, recording.NODE_SETTINGS)
        recording.of_node(node, Type.NODE_CHANGED, before, after)
    return node


def delete_node(node: Node, *, drain: bool = False) -> Node | None:
    """None once the node is gone; with `drain` the draining node, which goes once it is empty.

    409 while a workload is on it, unless `drain`. The cluster's totals shrink by the node, but a
    simulated cluster keeps those of its last node: it is a pool of them again.
    """
    with _locked(node.cluster_id):
        node = _fresh(node)
        in_use = any(_allocated(node))
        if not in_use and node.pk not in hooks.terminating_nodes(node.cluster_id):
            remove(node)
            follow_nodes(node.cluster_id)
            return None
        if not drain:
            why = (
                f"{_allocated_in_words(node)} are allocated on {node.name}: drain it first"
                if in_use
                else f"What was evicted from {node.name} has not ended yet: wait for it"
            )
            raise Conflict(f"{why}, or delete it with ?drain=true.", code="node_in_use")
        if node.pending != DELETE:
            _drain_now(node)
            _put(node, NodeState.DRAINING, DELETE)
    return node


def cordon(node: Node) -> Node:
    """Running workloads go on; none starts there."""
    return _set_state(node, NodeState.CORDONED)


def uncordon(node: Node) -> Node:
    """Workloads may start there again, whatever has failed there; cancels the change that waits for
    a drain."""
    return _set_state(node, NodeState.READY)


def drain(
    node: Node,
    *,
    mode: str = DrainMode.NOW,
    deadline: datetime | None = None,
    reason: str = "",
    by: str | None = None,
) -> Node:
    """Nothing new starts there; what runs there leaves by the `mode`, and at the `deadline` at the
    latest. Once it is empty, which may be at once, it is DRAINED, until it is uncordoned.

    A node that is DRAINED already stays as it is; another drain takes the place of one under way,
    and leaves a change that waits for its end.
    """
    with _locked(node.cluster_id):
        node = _fresh(node)
        pending = node.pending
        if pending and pending != DELETE:
            pending = {**pending, "state": NodeState.DRAINING}
        drain = node.drain or {}
        before = (node.state, node.pending, node.drain_deadline, drain.get("mode"))
        by_window = "window" in drain
        if (node.state == NodeState.DRAINED and not by_window) or (
            not by_window
            and before == (NodeState.DRAINING, pending, deadline, mode)
            and drain.get("reason", "") == reason
        ):
            return node
        now = database_now()
        node.begin_drain(mode, now=now, deadline=deadline, reason=reason, by=by)
        node.state = NodeState.DRAINING
        is_empty = not any(_allocated(node)) and pending is None
        if is_empty and node.pk not in hooks.terminating_nodes(node.cluster_id):
            node.finish_drain(now)
        _put(node, NodeState(node.state), pending)
    return node


def evict_overdue(cluster_id: UUID) -> None:
    """What is left on nodes whose drain's deadline has passed is evicted by the next cycle. One
    query where there is none, else three."""
    overdue = Node.objects.filter(cluster=cluster_id, drain_deadline__lte=Now())
    if not overdue.exists():
        return
    with suppress(NotFound), _locked(cluster_id):
        if overdue.update(drain_mode=DrainMode.NOW, drain_deadline=None):
            note_change(cluster_id)


def _drain_now(node: Node) -> None:
    """For a change that waits until the node is empty; a drain that is under way loses its mode."""
    drain = node.drain or {}
    node.begin_drain(
        DrainMode.NOW,
        now=database_now(),
        deadline=None,
        reason=drain.get("reason", ""),
        by=drain.get("by"),
    )


def _set_state(node: Node, state: NodeState) -> Node:
    with _locked(node.cluster_id):
        node = _fresh(node)
        if state == NodeState.READY and (node.drain or {}).get("window"):
            windows.leave(node)
        forgives = state == NodeState.READY and node.failed_starts is not None
        if forgives:
            node.failed_starts, node.judged = None, NodeState.READY
            node.save(update_fields=["failed_starts", "judged"])
        by_window = "window" in (node.drain or {})
        if forgives or by_window or (node.state, node.pending) != (state, None):
            node.forget_drain()
            _put(node, state, None)
    return node


def _put(node: Node, state: NodeState, pending: dict[str, Any] | None) -> None:
    node.state, node.pending = state, pending
    node.save(update_fields=["state", "pending", *DRAIN_COLUMNS])
    recording.of_state(node)
    note_change(node.cluster_id)


def _resize(node: Node, sizes: Mapping[str, int], *, drain: bool) -> None:
    """Now, where the new sizes contain what is allocated; else once the node is empty."""
    if node.pending == DELETE:
        raise Conflict(
            f"{node.name} is deleted as soon as it is empty: uncordon it first.",
            code="node_leaving",
        )
    before = node.pending or {"state": node.state}
    columns = {**_intended(node), **sizes, "state": before["state"]}
    for name in RESOURCES:
        allocated = getattr(node, f"allocated_{name}")
        if columns[name] < allocated and not drain:
            raise Conflict(
                f"{UNITS[name][1]}: {public_amount(name, allocated)} allocated on {node.name}, so "
                f"it cannot have {public_amount(name, columns[name])}; with ?drain=true it is "
                "drained first.",
                code="below_allocated",
            )
    if all(columns[name] >= getattr(node, f"allocated_{name}") for name in RESOURCES):
        apply_pending(node, columns)
        follow_nodes(node.cluster_id)
    else:
        _drain_now(node)
        _put(node, NodeState.DRAINING, columns)


def _own_sizes(node: Node, sizes: Mapping[str, int]) -> None:
    """A size that a user has given is no longer discovered by the runtime, nor cut from another."""
    left = [name for name in node.discovered if name not in sizes]
    cut_from = {name: each for name, each in (node.cut_from or {}).items() if name not in sizes}
    if left != node.discovered or cut_from != (node.cut_from or {}):
        node.discovered, node.cut_from = left, cut_from or None
        node.save(update_fields=["discovered", "cut_from"])


def _set_name_and_labels(node: Node, changes: Mapping[str, Any]) -> list[str]:
    """The columns of the two that differ from before."""
    given = {name: changes[name] for name in ("name", "labels") if name in changes}
    changed = [name for name, value in given.items() if getattr(node, name) != value]
    before = node.name
    for name in changed:
        setattr(node, name, given[name])
    if changed:
        node.save(update_fields=changed)
    if "name" in changed:
        volumes.rename_node(node.cluster_id, before, node.name)
        windows.rename_node(node.cluster_id, before, node.name)
        node_renamed.send(Node, cluster_id=node.cluster_id, node_id=node.pk, name=node.name)
    return changed


def _intended(node: Node) -> dict[str, int]:
    """The node's sizes after its pending change."""
    pending = node.pending or {}
    return {name: pending.get(name, getattr(node, name)) for name in RESOURCES}


@contextmanager
def _locked(cluster_id: UUID, name: str | None = None) -> Iterator[Cluster]:
    """A transaction with the cluster's lock. 404 where the cluster or its node is gone, 409 where
    another node has the `name`."""
    try:
        with transaction.atomic():
            yield lock_cluster_or_404(cluster_id)
    except Node.DoesNotExist:
        raise not_found() from None
    except IntegrityError as error:
        if "node_name_unique" not in str(error):
            raise
        raise Conflict(
            f"The cluster has a node named {name!r} already.", code="name_taken"
        ) from None


def _fresh(node: Node) -> Node:
    found = Node.objects.select_related("cluster")
    return found.get(pk=node.pk, cluster_id=node.cluster_id)


def _allocated(place: Cluster | Node) -> list[int]:
    return [getattr(place, f"allocated_{name}") for name in RESOURCES]


def _allocated_in_words(place: Cluster | Node) -> str:
    """`4 CPU cores, 8192 MiB of RAM, 1 GPU`, without what is not allocated."""
    amounts = zip(RESOURCES, _allocated(place), strict=True)
    return ", ".join(amount_in_words(name, amount) for name, amount in amounts if amount)
