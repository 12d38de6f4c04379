"""Sentences about the other deployments because of which one waits or has ended."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from deployments.names import Named, called, names_in
from deployments.reasons.preemption import DELAYED

Details = Mapping[str, Any]

MOST_DEPENDENCIES = 20  # in details
NAMED = 3  # in a sentence


def some_of(names: Sequence[str], count: int | None = None) -> str:
    """`a, b, c and 2 more`; `count` is the number of all, if `names` are only the first."""
    named = ", ".join(names[:NAMED])
    more = (len(names) if count is None else count) - len(names[:NAMED])
    return f"{named} and {more} more" if more > 0 else named


def blocked_by_head(details: Details) -> str:
    return (
        f"Waits behind {called(details, 'head')}, which is first in the queue and does not fit yet."
    )


def reserved_for_head(details: Details) -> str:
    if details.get(DELAYED):
        return (
            f"What is free is reserved for {called(details, 'head')}, which waits for a time "
            "limit instead of preempting."
        )
    return f"What is free is reserved for {called(details, 'head')}, which has waited longest."


def waiting_for(ids: Sequence[UUID], names: Sequence[Named]) -> dict[str, Any]:
    """The details of WAITING_FOR_DEPENDENCIES: how many there are, and the first of them."""
    first = zip(ids[:MOST_DEPENDENCIES], names, strict=False)
    told_each = {str(id_): str(name) for id_, name in first}
    return {
        "count": len(ids),
        "deployments": list(told_each),
        "deployment_names": list(told_each.values()),
    }


def waiting_for_dependencies(details: Details) -> str:
    count = details["count"]
    named = some_of(names_in(details, "deployments"), count)
    return (
        f"Waits for {count} {'deployment' if count == 1 else 'deployments'} to complete: {named}."
    )


def dependency_failed(details: Details) -> str:
    return f"Depends on {called(details, 'by')}, which did not complete, so it cannot start."


def node_drained(details: Details) -> str:
    """`node-2 was drained by grace (new disks), so it went back into the queue.`"""
    by = f" by {details['drained_by']}" if details.get("drained_by") else ""
    why = f" ({details['drained_for']})" if details.get("drained_for") else ""
    node = details.get("node", "What it ran on")
    return f"{node} was drained{by}{why}, so it went back into the queue."


def preempted(details: Details) -> str:
    sentence = f"Made room for {called(details, 'by')}"
    if details.get("priority"):
        sentence += f" ({details['priority']})"
    if details.get("for_quota"):
        sentence += " in its owner's quota"
    if details.get("lost_s") is not None:
        sentence += f", losing {round(details['lost_s'])} s of work"
    return f"{sentence}."


def sweep_limit(details: Mapping[str, Any]) -> str:
    most, allocated = details["max_parallel"], details["allocated"]
    if allocated > most:
        return (
            f"Of its sweep {allocated} run, and {most} may at once: it starts once fewer than "
            f"{most} do."
        )
    return (
        f"{allocated} of its sweep's {most} that may run at once do; the next starts when one ends."
    )
