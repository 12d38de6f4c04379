"""Facts about nodes, as the runtimes tell them: whether they answer, and what they have.

All under the cluster's lock, so no cycle plans with half of it; each call tells whether anything
was news. A node's sizes never fall below what is allocated on it: what is taken away from us then
is seen as a node that takes nobody new until enough has ended.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.node_changes import follow_nodes, note_change
from clusters.services.clusters import lock_cluster
from mlops_platform.api.resources import RESOURCES

SEEN_EVERY = timedelta(seconds=15)  # how exact `seen_at` is


class Found(NamedTuple):
    """A node as a runtime shows it; `gpu` is None where it cannot tell."""

    name: str
    cpu_milli: int
    ram_mib: int
    gpu: int | None
    labels: dict[str, str]
    ready: bool
    cordoned: bool


def is_away(endpoint: Endpoint, error: str) -> bool:
    """It gave no answer: its nodes take nobody new, and what runs there is left as it is."""
    ready = Node.objects.filter(endpoint=endpoint).exclude(observed=NodeState.NOT_READY)
    if endpoint.error == error and not ready.exists():
        return False
    with transaction.atomic():
        if not _lock(endpoint):
            return False
        Endpoint.objects.filter(pk=endpoint.pk).update(error=error)
        if ready.update(observed=NodeState.NOT_READY, not_ready_since=timezone.now()):
            note_change(endpoint.cluster_id)
    endpoint.error = error
    return True


def answers(endpoint: Endpoint, node: Node | None, found: Sequence[Found]) -> bool:
    """A Docker engine answered: its node is open, and has the sizes that nobody gave it."""
    news = _note_seen(endpoint)
    if node is None or (node.observed == NodeState.READY and not _missing(node, found)):
        return news
    with transaction.atomic():
        if not _lock(endpoint):
            return False
        node = Node.objects.filter(endpoint=endpoint).first()
        if node is None:
            return False
        sizes = _missing(node, found)
        _put(node, observed=NodeState.READY, not_ready_since=None, **sizes)
        follow_nodes(endpoint.cluster_id)
    return True


def found_all(endpoint: Endpoint, found: Sequence[Found]) -> bool:
    """All nodes of a Kubernetes cluster: new ones come, others follow, those that left go."""
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
        for each in found:
            node = here.pop(each.name, None)
            if node is None:
                _add(endpoint, each)
            elif columns := _differing(node, each):
                _put(node, **columns)
        for node in here.values():
            _leave(node)
        follow_nodes(endpoint.cluster_id)
    return True


def _lock(endpoint: Endpoint) -> bool:
    """Whether both are still there."""
    try:
        lock_cluster(endpoint.cluster_id)
    except Cluster.DoesNotExist:
        return False
    return Endpoint.objects.filter(pk=endpoint.pk).exists()


def _note_seen(endpoint: Endpoint) -> bool:
    now = timezone.now()
    if not endpoint.error and endpoint.seen_at and now - endpoint.seen_at < SEEN_EVERY:
        return False
    Endpoint.objects.filter(pk=endpoint.pk).update(seen_at=now, error="")
    recovered = bool(endpoint.error)
    endpoint.seen_at, endpoint.error = now, ""
    return recovered


def _missing(node: Node, found: Sequence[Found]) -> dict[str, int]:
    """The sizes that were left out when it was attached, as they are found."""
    if not found:
        return {}
    sizes = {"cpu_milli": found[0].cpu_milli, "ram_mib": found[0].ram_mib}
    if found[0].gpu is not None:
        sizes["gpu"] = found[0].gpu
    return {
        name: _at_least(node, name, size)
        for name, size in sizes.items()
        if name in node.discovered and getattr(node, name) != _at_least(node, name, size)
    }


def _differing(node: Node, found: Found) -> dict[str, Any]:
    """The columns of a discovered node that are no longer as they are found."""
    sizes = {"cpu_milli": found.cpu_milli, "ram_mib": found.ram_mib, "gpu": found.gpu or 0}
    squeezed = any(size < getattr(node, f"allocated_{name}") for name, size in sizes.items())
    columns: dict[str, Any] = {name: _at_least(node, name, size) for name, size in sizes.items()}
    columns["labels"] = found.labels
    if not found.ready:
        columns["observed"] = NodeState.NOT_READY
        columns["not_ready_since"] = node.not_ready_since or timezone.now()
    else:
        closed = found.cordoned or squeezed
        columns["observed"] = NodeState.CORDONED if closed else NodeState.READY
        columns["not_ready_since"] = None
    return {name: value for name, value in columns.items() if getattr(node, name) != value}


def _at_least(node: Node, name: str, size: int) -> int:
    return max(size, getattr(node, f"allocated_{name}"))


def _add(endpoint: Endpoint, found: Found) -> None:
    node = Node(cluster_id=endpoint.cluster_id, endpoint=endpoint, name=found.name)
    for name, value in _differing(node, found).items():
        setattr(node, name, value)
    node.cpu_milli, node.ram_mib, node.gpu = found.cpu_milli, found.ram_mib, found.gpu or 0
    node.save(force_insert=True)


def _leave(node: Node) -> None:
    """It is in the API no more: gone at once, or once nothing is booked on it."""
    held = Q(pk=node.pk) & ~Q(**{f"allocated_{name}": 0 for name in RESOURCES})
    if not Node.objects.filter(held).exists():
        node.delete()
    elif node.observed != NodeState.NOT_READY:
        _put(node, observed=NodeState.NOT_READY, not_ready_since=timezone.now())


def _put(node: Node, **columns: Any) -> None:
    Node.objects.filter(pk=node.pk).update(**columns)
