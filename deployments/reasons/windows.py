"""Sentences of maintenance windows, which keep deployments from nodes."""

from collections.abc import Mapping
from typing import Any

from deployments.reasons.preemption import moment_in_words

CODE = "MAINTENANCE_WINDOW"
WINDOWS = "windows"  # in details, the first begin first


def sentence(details: Mapping[str, Any]) -> str:
    """Of one that nothing but windows keeps from starting."""
    first = details[WINDOWS][0]
    what, until = f"maintenance ({first['reason']})", moment_in_words(first["ends_at"])
    if first["open"]:
        return f"Its nodes are closed for {what} until {until}."
    begins = moment_in_words(first["begins_at"])
    if (assumed_s := details.get("assumed_runtime_s")) is not None:
        return (
            f"It has no time limit, and so counts as running for {assumed_s} s: into {what} of its "
            f"nodes, from {begins} until {until}. With a limit that ends it before, it may start."
        )
    return (
        f"By its time limit it could run into {what} of its nodes, from {begins} until {until}. "
        "With a limit that ends it before, it may start."
    )


def of_closed_nodes(details: Mapping[str, Any]) -> str:
    """Beside a reason of another code: which nodes do not count, and until when."""
    count, first = details["window_nodes"], details[WINDOWS][0]
    nodes = "1 node does" if count == 1 else f"{count} nodes do"
    until = moment_in_words(first["ends_at"])
    if first["open"]:
        when = f"until {until}"
    else:
        when = f"from {moment_in_words(first['begins_at'])} until {until}, into which it could run"
    return f"{nodes} not count for maintenance ({first['reason']}) {when}."
