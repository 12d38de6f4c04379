"""Writes what runtimes report of nodes: whether they answer, their sizes and their labels.

All changes are made under the cluster's lock, so no cycle plans with half of one; each function
returns whether anything changed. The sizes of a node never fall below what is allocated on it: a
node that has shrunk below that is cordoned until enough of its workloads have ended.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from clusters import recording
from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.services import windows
from clusters.services.clusters import lock_cluster
from clusters.services.node_changes import delete_empty, follow_nodes, note_change
from mlops_platform.database.clock import database_now
from organizations.events.models import OrganizationEventType as Type
from organizations.events.recording import columns_of

BATCH = 500  # rows of one statement
SEEN_EVERY = timedelta(seconds=15)  # the precision of `seen_at`


MOST_REASON = 500
TAKEN_BY_OTHERS = (
    "Others have taken so much of it that less is left than the deployments here have allocated."
)
CUT = "It was given more than its engine has, and offers what the engine has."
GONE = "The API server does not know this node any more."


class Found(NamedTuple):
    """A node as a runtime reports it; `gpu` is None where the runtime does not know. `reason` is
    why it is not ready, or cordoned."""

    name: str
    cpu_milli: int
    ram_mib: int
    gpu: int | None
    labels: dict[str, str]
    ready: bool
    cordoned: bool
    reason: str = ""


def is_away(endpoint: Endpoint, error: str, *, is_node: bool) -> bool:
    """The endpoint does not answer: its nodes are NOT_READY, and their workloads stay as they are.

    `is_node`: the endpoint is the node itself and is silent, so the time after which the node
    counts as lost begins. An API server's silence, and credentials that are refused, say nothing of
    a node: that time ends, and begins anew once the endpoint shows that the node is not ready.
    """
    nodes = Node.objects.filter(endpoint=endpoint)
    untimed = nodes.filter(observed=NodeState.NOT_READY, not_ready_since=None)
    as_it_should = (
        untimed
        if not is_node
        else nodes.filter(observed=NodeState.NOT_READY, not_ready_since__isnull=False)
    )
    wrong = nodes.exclude(pk__in=as_it_should.values("pk"))
    if endpoint.error == error and not wrong.exists():
        return False
    with transaction.atomic():
        if not _lock(endpoint):
            return False
        since = endpoint.away_since or database_now()
        Endpoint.objects.filter(pk=endpoint.pk).update(error=error, away_since=since)
        closed = list(wrong.exclude(observed=NodeState.NOT_READY))
        recording.of_nodes(endpoint.cluster_id, Type.NODE_AWAY, closed, [error] * len(closed))
        wrong.update(
            observed=NodeState.NOT_READY,
            not_ready_since=Now() if is_node else None,
        )
        if closed:
            note_change(endpoint.cluster_id)
    endpoint.error, endpoint.away_since = error, since
    return True


def answers(endpoint: Endpoint, node: Node | None, found: Sequence[Found]) -> bool:
    """A Docker engine answers: its node is READY, with the discovered sizes where the user gave
    none."""
    news = _note_seen(endpoint)
    if node is None or (node.observed == NodeState.READY and not _wrong_sizes(node, found)):
        return news
    with transaction.atomic():
        if not _lock(endpoint):
            return False
        node = Node.objects.filter(endpoint=endpoint).first()
        if node is None:
            return False
        sizes = _wrong_sizes(node, found)
        _put(node, observed=NodeState.READY, not_ready_since=None, **sizes)
        _record(node, {"observed": NodeState.READY, **sizes})
        follow_nodes(endpoint.cluster_id)
    return True


def found_all(endpoint: Endpoint, found: Sequence[Found]) -> bool:
    """All nodes of a Kubernetes cluster: rows are added, changed and removed to be equal to
    them."""
    news = _note_seen(endpoint)
    before = {node.name: node for node in Node.objects.filter(endpoint=endpoint)}
    if before.keys() == {each.name for each in found} and not any(
        _differing(before[each.name], each) for each in found
    ):
        return news
    with transaction.atomic():
        if not _lock(endpoint):
            return False
        here = {node.name: node for node in Node.objects.filter(endpoint=endpoint)}
        new = []
        for each in found:
            node = here.pop(each.name, None)
            if node is None:
                new.append(_new(endpoint, each))
            elif columns := _differing(node, each):
                _put(node, **columns)
                _record(node, columns)
        Node.objects.bulk_create(new, batch_size=BATCH)
        recording.of_nodes(endpoint.cluster_id, Type.NODE_CREATED, new)
        if new:
            windows.join(Cluster.objects.get(pk=endpoint.cluster_id), new)
        _leave(list(here.values()))
        follow_nodes(endpoint.cluster_id)
    return True


def _lock(endpoint: Endpoint) -> bool:
    """Lock the cluster; False where it or the endpoint is gone."""
    try:
        lock_cluster(endpoint.cluster_id)
    except Cluster.DoesNotExist:
        return False
    return Endpoint.objects.filter(pk=endpoint.pk).exists()


def _note_seen(endpoint: Endpoint) -> bool:
    now = timezone.now()  # another host may have written `seen_at`, by its own clock
    if not endpoint.error and endpoint.seen_at and abs(now - endpoint.seen_at) < SEEN_EVERY:
        return False
    Endpoint.objects.filter(pk=endpoint.pk).update(seen_at=now, error="", away_since=None)
    recovered = bool(endpoint.error)
    endpoint.seen_at, endpoint.error, endpoint.away_since = now, "", None
    return recovered


def _wrong_sizes(node: Node, found: Sequence[Found]) -> dict[str, Any]:
    """The columns of an engine's node that differ from what is found: its discovered sizes, and the
    given ones that its engine does not have. These are cut, `observed_reason` says so, and
    `cut_from` keeps what was given for an engine that grows."""
    if not found:
        return {}
    sizes = {"cpu_milli": found[0].cpu_milli, "ram_mib": found[0].ram_mib}
    if found[0].gpu is not None:
        sizes["gpu"] = found[0].gpu
    wrong: dict[str, Any] = {}
    is_cut, cut_from = False, dict(node.cut_from or {})
    for name, size in sizes.items():
        present, possible = getattr(node, name), _at_least(node, name, size)
        if name not in node.discovered:
            given = cut_from.pop(name, present)
            if given > size:
                cut_from[name] = given
            is_cut |= given > size
            possible = min(given, possible)
        if present != possible:
            wrong[name] = possible
    if cut_from != (node.cut_from or {}):
        wrong["cut_from"] = cut_from or None
    reason = " ".join(filter(None, [CUT if is_cut else "", found[0].reason]))[:MOST_REASON]
    return wrong if node.observed_reason == reason else {**wrong, "observed_reason": reason}


def _differing(node: Node, found: Found) -> dict[str, Any]:
    """The columns of a discovered node that differ from what is found."""
    sizes = {"cpu_milli": found.cpu_milli, "ram_mib": found.ram_mib, "gpu": found.gpu or 0}
    too_small = any(size < getattr(node, f"allocated_{name}") for name, size in sizes.items())
    columns: dict[str, Any] = {name: _at_least(node, name, size) for name, size in sizes.items()}
    columns["labels"] = found.labels
    columns["observed_reason"] = found.reason[:MOST_REASON]
    if not found.ready:
        columns["observed"] = NodeState.NOT_READY
        columns["not_ready_since"] = node.not_ready_since or database_now()
    else:
        closed = found.cordoned or too_small
        columns["observed"] = NodeState.CORDONED if closed else NodeState.READY
        if too_small and not found.cordoned:
            columns["observed_reason"] = TAKEN_BY_OTHERS
        columns["not_ready_since"] = None
    return {name: value for name, value in columns.items() if getattr(node, name) != value}


def _at_least(node: Node, name: str, size: int) -> int:
    return max(size, getattr(node, f"allocated_{name}"))


def _new(endpoint: Endpoint, found: Found) -> Node:
    node = Node(cluster_id=endpoint.cluster_id, endpoint=endpoint, name=found.name)
    for name, value in _differing(node, found).items():
        setattr(node, name, value)
    node.cpu_milli, node.ram_mib, node.gpu = found.cpu_milli, found.ram_mib, found.gpu or 0
    return node


def _leave(nodes: Sequence[Node]) -> None:
    """The API no longer has the nodes: deleted now, or NOT_READY while anything is allocated."""
    if not nodes:
        return
    node_ids = [node.pk for node in nodes]
    cluster_id = nodes[0].cluster_id
    delete_empty(node_ids)
    left = set(Node.objects.filter(pk__in=node_ids).values_list("pk", flat=True))
    deleted = [node for node in nodes if node.pk not in left]
    recording.of_nodes(cluster_id, Type.NODE_DELETED, deleted)
    known = Q(observed=NodeState.NOT_READY, not_ready_since__isnull=False)
    in_use = Node.objects.filter(~known, pk__in=node_ids)
    closed = list(in_use.exclude(observed=NodeState.NOT_READY)) if left else []
    recording.of_nodes(cluster_id, Type.NODE_AWAY, closed, [GONE] * len(closed))
    in_use.update(observed=NodeState.NOT_READY, observed_reason=GONE, not_ready_since=Now())


def _put(node: Node, **columns: Any) -> None:
    Node.objects.filter(pk=node.pk).update(**columns)


def _record(node: Node, columns: Mapping[str, Any]) -> None:
    """Events of what has just been written to the row; `node` is as it was before."""
    before = columns_of(node, recording.NODE_SETTINGS)
    after = before | {name: value for name, value in columns.items() if name in before}
    recording.of_node(node, Type.NODE_CHANGED, before, after)
    was_away = node.observed == NodeState.NOT_READY
    is_away = columns.get("observed", node.observed) == NodeState.NOT_READY
    if was_away != is_away:
        reason = columns.get("observed_reason", node.observed_reason)
        type_ = Type.NODE_AWAY if is_away else Type.NODE_BACK
        recording.of_nodes(node.cluster_id, type_, [node], [reason])
