"""Maintenance windows: spans of time in which nodes take nothing, known ahead.

A workload starts on no node that has a window which begins before its time limit would end it; one
without a limit counts as running for the policy's `assumed_runtime_s`. Of the windows that are not
over, each workload reaches into those that begin before a moment of its own. So the planner asks
for one more label: that the node has no window which has begun, or begins, up to the last of these.
A node loses the label as time goes on, so it is in no row, and is derived from `now_ms` (ADR 48).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scheduler.engine.snapshot import (
    CORDONED,
    DRAINING,
    NOW,
    READY,
    Labels,
    Node,
    Policy,
    Snapshot,
    Window,
    Workload,
)

WINDOW = "window:"  # and the begin of a window in ms; no label of a user has a colon in its name
NEVER_MS = 2**62


def coming(snapshot: Snapshot) -> list[Window]:
    """The windows of nodes that are not over."""
    if not snapshot.nodes:
        return []
    return [each for each in snapshot.windows if each.ends_ms > snapshot.now_ms]


def runs_ms(workload: Workload, policy: Policy) -> int:
    limit_s = policy.assumed_runtime_s if workload.limit_s is None else workload.limit_s
    return max(limit_s * 1000, 1)  # it is in a window that begins now


def reached(workload: Workload, snapshot: Snapshot) -> list[Window]:
    """The windows in which the workload might run, if it started now, the first begin first."""
    until_ms = snapshot.now_ms + runs_ms(workload, snapshot.policy)
    found = (each for each in coming(snapshot) if each.begins_ms < until_ms)
    return sorted(found, key=lambda each: (each.begins_ms, each.id))


def outside_windows(workloads: Iterable[Workload], snapshot: Snapshot) -> list[Workload]:
    """The workloads, each with the label of its windows in its selector, where it has any."""
    labels: dict[int | None, Labels] = {}  # by limit
    found = []
    for workload in workloads:
        if workload.limit_s not in labels:
            windows = reached(workload, snapshot)
            labels[workload.limit_s] = (
                ((f"{WINDOW}{windows[-1].begins_ms}", ""),) if windows else ()
            )
        label = labels[workload.limit_s]
        selector = (*workload.selector, *label)
        found.append(replace(workload, selector=selector) if label else workload)
    return found


def in_any_window(selector: Labels) -> Labels:
    """The selector without the label of windows."""
    return tuple(label for label in selector if not label[0].startswith(WINDOW))


def first_begins(node_ids: Sequence[str | None], snapshot: Snapshot) -> list[int] | None:
    """By node, when its next window begins, or the one under way has begun (NEVER_MS: there is
    none); None where no node has any."""
    windows = coming(snapshot)
    if not windows:
        return None
    begins: dict[str | None, int] = {}
    for each in windows:
        for id_ in each.node_ids:
            begins[id_] = min(each.begins_ms, begins.get(id_, NEVER_MS))
    return [begins.get(id_, NEVER_MS) for id_ in node_ids]


def begins_after(label: str, begins_ms: int) -> bool:
    """Whether a node whose next window begins then carries the label of this name."""
    return begins_ms > int(label.removeprefix(WINDOW))


def nodes_at(nodes: tuple[Node, ...], windows: Sequence[Window], at_ms: int) -> tuple[Node, ...]:
    """The nodes as windows will have closed and opened them by a later moment."""
    if not windows:
        return nodes
    states: dict[str, str] = {}
    for each in windows:
        if each.ends_ms <= at_ms:
            states.update(dict.fromkeys(each.closed_ids, READY))
    is_open = {node.id for node in nodes if states.get(node.id, node.state) == READY}
    for each in windows:
        if each.begins_ms <= at_ms < each.ends_ms:
            state = DRAINING if each.mode == NOW else CORDONED
            states.update({id_: state for id_ in each.node_ids if id_ in is_open})
    return tuple(
        replace(node, state=states[node.id]) if node.id in states else node for node in nodes
    )
