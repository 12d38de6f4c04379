"""Why a workload waits or is evicted: a code and its numbers. The API and the console turn them
into sentences.

Amounts are millicores, MiB and whole GPUs under `cpu_milli`, `ram_mib` and `gpu`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from scheduler.engine.placement.nearest_labels import labels_in
from scheduler.engine.resources import NAMES, ZERO, Resources
from scheduler.engine.snapshot import NODE, VOLUME, Labels, SweepLimit, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_WINDOWS = 3  # in a reason


class Code(StrEnum):
    NO_CAPACITY_YET = "NO_CAPACITY_YET"
    EXCEEDS_CAPACITY = "EXCEEDS_CAPACITY"
    NO_MATCHING_NODE = "NO_MATCHING_NODE"
    INSUFFICIENT_CAPACITY = "INSUFFICIENT_CAPACITY"
    FRAGMENTED = "FRAGMENTED"
    NO_EMPTY_NODE = "NO_EMPTY_NODE"
    GPUS_IN_USE = "GPUS_IN_USE"
    BLOCKED_BY_HEAD = "BLOCKED_BY_HEAD"
    RESERVED_FOR_HEAD = "RESERVED_FOR_HEAD"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    SWEEP_LIMIT = "SWEEP_LIMIT"
    MAINTENANCE_WINDOW = "MAINTENANCE_WINDOW"
    CLUSTER_PAUSED = "CLUSTER_PAUSED"
    NOT_YET_EVALUATED = "NOT_YET_EVALUATED"
    PREEMPTED = "PREEMPTED"
    NODE_DRAINED = "NODE_DRAINED"


@dataclass(frozen=True, slots=True)
class Reason:
    code: Code
    details: dict[str, Any] = field(default_factory=dict)


def no_capacity_yet(nodes: int) -> Reason:
    """The cluster has no CPU, no RAM and no GPUs: no nodes, or `nodes` of unknown size."""
    return Reason(Code.NO_CAPACITY_YET, {"nodes": nodes})


def exceeds_capacity(request: Resources, total: Resources, *, on_a_node: bool = False) -> Reason:
    """Name the first resource of which the empty cluster, or its best node, has too little."""
    name = next(n for n, want, have in zip(NAMES, request, total, strict=True) if want > have)
    amounts = {"requested": request.named()[name], "total": total.named()[name]}
    where = {"on_a_node": True} if on_a_node else {}
    return Reason(Code.EXCEEDS_CAPACITY, {"resource": name, **amounts, **where})


def no_node(selector: Labels, nearest: list[dict[str, Any]]) -> Reason:
    """`nearest`: of nearest_labels.py."""
    details: dict[str, Any] = {"node_selector": dict(labels_in(selector)), "nearest": nearest}
    return with_volumes(Reason(Code.NO_MATCHING_NODE, details), selector)


def with_volumes(reason: Reason, selector: Labels) -> Reason:
    """The reason, with the volumes that leave a workload only some nodes."""
    volumes = volumes_in(selector)
    if not volumes:
        return reason
    return Reason(reason.code, {**reason.details, "volumes": volumes})


def volumes_in(selector: Labels) -> list[str]:
    return [name.removeprefix(VOLUME) for name, _ in selector if name.startswith(VOLUME)]


def too_many_replicas(replicas: int, fitting: int, whole: str = "") -> Reason:
    """Each replica fits a node and their sum fits the cluster, but the nodes of the empty cluster
    take only `fitting` of the replicas at once: where these take whole nodes, those of one size."""
    details: dict[str, Any] = {"replicas": replicas, "room_for": fitting}
    return Reason(Code.EXCEEDS_CAPACITY, {**details, "whole": whole} if whole else details)


def not_empty(
    whole: str,
    replicas: int,
    *,
    large_enough: int,
    empty: int,
    closed: int = 0,
) -> Reason:
    """Of the open nodes that are `large_enough`, too few are empty, or have all their GPUs free.
    `closed` ones take no workload now."""
    details: dict[str, Any] = {"replicas": replicas, "nodes": large_enough, "empty": empty}
    if closed:
        details["closed_nodes"] = closed
    return Reason(Code.NO_EMPTY_NODE if whole == NODE else Code.GPUS_IN_USE, details)


def insufficient(request: Resources, free: Resources, closed: int = 0) -> Reason:
    """`free` is what the open nodes have; `closed` counts the nodes that match the selector but
    accept no workload now."""
    details: dict[str, Any] = {
        "short": request.minus(free).positive(),
        "requested": request.named(),
        "free": free.named(),
    }
    if closed:
        details["closed_nodes"] = closed
    return Reason(Code.INSUFFICIENT_CAPACITY, details)


def fragmented(
    request: Resources,
    replicas: int,
    free: Resources,
    best: Resources,
    fitting: int,
    *,
    evictable: Resources = ZERO,
) -> Reason:
    """The sum of `free` and of what is `evictable` is enough, but the nodes take only `fitting`
    replicas at once. `best` is free, or evictable, on the node that comes nearest to one
    replica."""
    details = {
        "requested": request.named(),
        "replicas": replicas,
        "free": free.named(),
        "best_node": best.named(),
        "room_for": fitting,
    }
    if evictable != ZERO:
        details["evictable"] = evictable.named()
    return Reason(Code.FRAGMENTED, details)


def blocked_by(head: str) -> Reason:
    return Reason(Code.BLOCKED_BY_HEAD, {"head": head})


def reserved_for(head: str, *, waits_for_limits: bool = False) -> Reason:
    """`waits_for_limits`: the head could preempt, and waits for time limits instead."""
    return Reason(
        Code.RESERVED_FOR_HEAD, {"head": head, **({"delayed": True} if waits_for_limits else {})}
    )


def instead_of_preempting(reason: Reason, after: str, at_ms: int) -> Reason:
    """`reason` of a workload that could preempt, and waits for the one of the id `after` to end by
    its time limit."""
    delayed = {"after": after, "at": _iso(at_ms)}
    return Reason(reason.code, {**reason.details, "delayed": delayed})


def quota_exceeded(total: Resources, limit: Resources, allocated: Resources) -> Reason:
    """Name the first resource of which the owner would have more allocated than the limit."""
    amounts = zip(NAMES, total, limit, allocated, strict=True)
    name, want, most, has = next(each for each in amounts if 0 < each[1] > each[2] - each[3])
    details = {"resource": name, "requested": want, "quota": most, "allocated": has}
    return Reason(Code.QUOTA_EXCEEDED, details)


def sweep_limit(sweep: SweepLimit) -> Reason:
    details = {"sweep": sweep.id, "max_parallel": sweep.limit, "allocated": sweep.allocated}
    return Reason(Code.SWEEP_LIMIT, details)


def kept_by_windows(
    windows: Sequence[Window],
    reason: Reason | None,
    *,
    nodes: int,
    now_ms: int,
    assumed_s: int | None,
) -> Reason:
    """`reason` of a workload that `windows`, the first begin first, keep from so many `nodes`; or
    that nothing else keeps from starting. `assumed_s`: how long it counts as running, without a
    time limit."""
    details: dict[str, Any] = {
        "windows": [
            {
                "id": each.id,
                "reason": each.reason,
                "begins_at": _iso(each.begins_ms),
                "ends_at": _iso(each.ends_ms),
                "open": each.begins_ms <= now_ms,
            }
            for each in windows[:MOST_WINDOWS]
        ],
        "window_nodes": nodes,
    }
    if assumed_s is not None:
        details["assumed_runtime_s"] = assumed_s
    if reason is None:
        return Reason(Code.MAINTENANCE_WINDOW, details)
    return Reason(reason.code, {**reason.details, **details})


def _iso(at_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat()


def paused(state: str) -> Reason:
    return Reason(Code.CLUSTER_PAUSED, {"state": state})


def preempted(by: str, priority: str, lost_ms: int, *, for_quota: bool = False) -> Reason:
    """`for_quota`: the preemptor is of the same owner, whose quota was full."""
    details = {"by": by, "priority": priority, "lost_s": lost_ms // 1000}
    return Reason(Code.PREEMPTED, {**details, "for_quota": True} if for_quota else details)


NOT_YET_EVALUATED = Reason(Code.NOT_YET_EVALUATED)
DRAINED = Reason(Code.NODE_DRAINED)
