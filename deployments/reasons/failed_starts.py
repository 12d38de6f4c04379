"""Sentences about nodes on which starts have failed one after another."""

from collections.abc import Callable, Mapping
from typing import Any

from deployments.reasons.preemption import moment_in_words

NODE_CORDONED = "NODE_CORDONED"
NODE_TRIED = "NODE_TRIED"
NODE_OPENED = "NODE_OPENED"

FAILING_NODES = "failing_nodes"  # in details: how many nodes are cordoned for starts that failed
RETRY_AT = "failing_nodes_retry_at"  # when the first of them is tried again

Details = Mapping[str, Any]


def _node_cordoned(details: Details) -> str:
    if "retry_at" in details:
        at = moment_in_words(details["retry_at"])
        return (
            f"Starts failed on {details['node']} one after another, so it is cordoned, and tried "
            f"again at {at}."
        )
    return (
        f"{details['node']} was cordoned before it had begun there, as starts failed there one "
        "after another: it waits again."
    )


def _node_tried(details: Details) -> str:
    return f"It tries {details['node']} again, on which starts had failed one after another."


def _node_opened(details: Details) -> str:
    return f"It has started on {details['node']}, which is open again."


def failing_nodes(details: Details) -> str:
    """A sentence that begins with a space; empty where no node is cordoned for failed starts."""
    failing = details.get(FAILING_NODES, 0)
    if not failing:
        return ""
    nodes, them = ("node is", "it is") if failing == 1 else ("nodes are", "the first is")
    at = details.get(RETRY_AT)
    again = f", {them} tried again at {moment_in_words(at)}" if at else ""
    return f" {failing} {nodes} cordoned, as starts failed there one after another{again}."


SENTENCES: Mapping[str, Callable[[Details], str]] = {
    NODE_CORDONED: _node_cordoned,
    NODE_TRIED: _node_tried,
    NODE_OPENED: _node_opened,
}
