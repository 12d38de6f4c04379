"""Renders why a deployment waits or has ended: one table of codes, one sentence for each.

Rows store the code and numbers in the scheduler's units (`cpu_milli`, `ram_mib`, `gpu`). Sentences
are made when a row is read, so that a better wording reaches old rows too. No Django here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deployments.names import Names, with_names
from deployments.reasons import failed_starts, others, whole_nodes, windows
from deployments.reasons.others import some_of
from deployments.reasons.preemption import (
    DELAYED,
    SPARED,
    delayed_sentence,
    moment_in_words,
    sentences_of,
)
from deployments.reasons.readiness import (
    image_pull_delayed,
    not_alive,
    not_ready,
    with_message,
)
from deployments.reasons.retries import with_retry
from mlops_platform.api.resources import (
    PUBLIC_NAMES,
    RESOURCES,
    UNITS,
    amount_in_words,
    public_amount,
)

Details = Mapping[str, Any]
NO_NAMES: Names = {}

NOT_YET_EVALUATED = "NOT_YET_EVALUATED"
WAITING_FOR_DEPENDENCIES = "WAITING_FOR_DEPENDENCIES"
DEPENDENCY_FAILED = "DEPENDENCY_FAILED"
MAX_RUNTIME_EXCEEDED = "MAX_RUNTIME_EXCEEDED"
BACKOFF = "BACKOFF"
NO_CAPACITY_YET = "NO_CAPACITY_YET"
NEVER_POSSIBLE = "NEVER_POSSIBLE"
NODE_LOST = "NODE_LOST"
CONTAINER_LOST = "CONTAINER_LOST"
WAITING_FOR_VICTIMS = "WAITING_FOR_VICTIMS"
NODE_AWAY = "NODE_AWAY"
API_AWAY = "API_AWAY"
NOT_READY_IN_TIME = "NOT_READY_IN_TIME"
NOT_ALIVE = "NOT_ALIVE"
READY = "READY"
ADOPTED = "ADOPTED"
IMAGE_PULLED_AHEAD = "IMAGE_PULLED_AHEAD"
CLUSTER_PAUSED = "CLUSTER_PAUSED"
START_DELAYED = "START_DELAYED"
ENV_SEALED = "ENV_SEALED"
GANG_INCOMPLETE = "GANG_INCOMPLETE"
PEERS_UNREACHABLE = "PEERS_UNREACHABLE"
SECRET_MISSING = "SECRET_MISSING"  # noqa: S105 - a code
SECRET_SEALED = "SECRET_SEALED"  # noqa: S105 - a code

CLOSED_NODES = "closed_nodes"  # in details: how many nodes are closed
AWAY_NODES = "away_nodes"  # how many of them do not answer
VOLUMES = "volumes"  # names of those that leave it only some nodes
SCHEDULER_SILENT = "scheduler_silent_since"  # while it does not answer
API_AWAY_SINCE = "api_away_since"  # since when the cluster's API server does not


def render(code: str, details: Details | None, names: Names = NO_NAMES) -> dict[str, Any]:
    """`{"code", "message", "details"}` for people and programs; never raises.

    CPU comes out in cores under `cpu`, RAM in MiB under `ram`. `names`: of the deployments that the
    details refer to (names.references).
    """
    details = with_names(_renamed(details), names) if isinstance(details, Mapping) else {}
    try:
        message = with_retry(SENTENCES[code](details), details)
        if details.get(VOLUMES) and "node_selector" not in details:
            message += f" {_of_volumes(details[VOLUMES])}"
        if code != windows.CODE and details.get(windows.WINDOWS):
            message += f" {windows.of_closed_nodes(details)}"
        if isinstance(details.get(DELAYED), Mapping):
            message += f" {delayed_sentence(details[DELAYED])}"
        if details.get(SPARED):
            message += f" {sentences_of(details[SPARED])}"
        if silent_since := details.get(SCHEDULER_SILENT):
            message += f" The scheduler has not answered since {moment_in_words(silent_since)}."
    except (LookupError, TypeError, ValueError, AttributeError):  # an older row, or a newer code
        message = f"{code.replace('_', ' ').capitalize()}."
    return {"code": code, "message": message, "details": shown(details)}


def _renamed(details: Details) -> Details:
    """With the present names: rows that version 0.1.0 wrote have `held` for `allocated`."""
    if "held" not in details:
        return details
    return {"allocated" if name == "held" else name: value for name, value in details.items()}


def shown(details: Details) -> dict[str, Any]:
    """The details with the API's names and units for resources, at any depth.

    The keys are in PostgreSQL's order, also in details that were never stored there.
    """
    details = dict(sorted(details.items(), key=lambda item: (len(item[0]), item[0])))
    resource = details.get("resource")
    if (
        isinstance(resource, str) and resource in RESOURCES
    ):  # the numbers beside it are amounts of that resource
        plain = {
            name: public_amount(resource, value) if isinstance(value, int) else value
            for name, value in details.items()
        }
        return {**plain, "resource": PUBLIC_NAMES[resource]}
    outside: dict[str, Any] = {}
    for name, value in details.items():
        if name == "node_selector":  # a label may have the name of a resource
            outside[name] = value
        elif isinstance(value, Mapping):
            outside[name] = shown(value)
        elif name in RESOURCES and isinstance(value, int):
            outside[PUBLIC_NAMES[name]] = public_amount(name, value)
        else:
            outside[name] = value
    return outside


def _of_volumes(names: Sequence[str]) -> str:
    return f"Only nodes that have the {_volumes(names)} count."


def _volumes(names: Sequence[str]) -> str:
    return f"{'volume' if len(names) == 1 else 'volumes'} {some_of(names)}"


def _no_node(details: Details) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in details["node_selector"].items())
    needs = [f"carries the labels {labels}"] if labels else []
    if details.get(VOLUMES):
        needs.append(f"has the {_volumes(details[VOLUMES])}")
    if not needs:  # but that on which its last attempt failed
        return "No other node of the cluster is left for it."
    return f"No node of the cluster {' and '.join(needs)}.{_nearest(details)}"


def _nearest(details: Details) -> str:
    """What nodes carry instead."""
    near = {
        f"{each['label']}={each['value']}": each["nodes"] for each in details.get("nearest", ())
    }
    if not near:
        return ""
    shown = ", ".join(f"{label} ({nodes})" for label, nodes in near.items())
    each_alone = all(f"{name}={value}" in near for name, value in details["node_selector"].items())
    return f" Nodes have {shown}{', but none has all' if each_alone else ''}."


def _no_capacity_yet(details: Details) -> str:
    if not details["nodes"]:
        return "The cluster has no nodes yet."
    silent = "its node has not" if details["nodes"] == 1 else "none of its nodes has"
    return f"The cluster has no capacity yet: {silent} answered with its size."


def _exceeds_capacity(details: Details) -> str:
    if "node_selector" in details:  # of before NO_MATCHING_NODE
        return _no_node(details)
    if "room_for" in details:
        room_for, replicas = details["room_for"], details["replicas"]
        if details.get("whole"):
            return whole_nodes.too_few(details)
        return f"Even empty, the nodes have room for {room_for} of its {replicas} replicas."
    resource = details["resource"]
    requested = amount_in_words(resource, details["requested"])
    total = public_amount(resource, details["total"])
    whose = "largest node" if details.get("on_a_node") else "whole cluster"
    return f"Asks for {requested}, more than the {total} that the {whose} has."


def _fragmented(details: Details) -> str:
    """Names a resource of which even the best node has too little, if there is one."""
    enough = "Enough is free in all"
    if details.get("evictable"):
        enough = "Enough is free or could be preempted in all"
    if details["replicas"] > 1:
        room_for, replicas = details["room_for"], details["replicas"]
        return f"{enough}, but side by side only {room_for} of {replicas} replicas fit."
    want, best = details["requested"], details["best_node"]
    name = next((each for each in RESOURCES if want[each] > best[each]), None)
    if name is None:
        return f"{enough}, but not on one node."
    asked, there = amount_in_words(name, want[name]), public_amount(name, best[name])
    return f"{enough}, but not on one node: asks for {asked}, the best has {there}."


def _insufficient_capacity(details: Details) -> str:
    short = {name: details["short"][name] for name in RESOURCES if details["short"].get(name)}
    parts = []
    for resource, missing in short.items():
        one, many = UNITS[resource]
        number = public_amount(resource, missing)
        requested = public_amount(resource, details["requested"][resource])
        free = public_amount(resource, details["free"][resource])
        need = f"{number} more {one if number == 1 else many}"
        parts.append((need, f"asks for {requested}, {free} {'is' if free == 1 else 'are'} free"))
    away = details.get(AWAY_NODES, 0)
    closed = details.get(CLOSED_NODES, 0) - away - details.get(failed_starts.FAILING_NODES, 0)
    nodes = f" {closed} {'node is' if closed == 1 else 'nodes are'} closed." if closed else ""
    nodes += failed_starts.failing_nodes(details)
    if details.get(API_AWAY_SINCE):
        nodes += f" {_api_away({'since': details[API_AWAY_SINCE]})}"
    elif away:
        nodes += f" {away} {'node does' if away == 1 else 'nodes do'} not answer."
    if len(parts) == 1:
        return f"Needs {parts[0][0]}: {parts[0][1]}.{nodes}"
    listed = [f"{need} ({why})" for need, why in parts]
    return f"Needs {', '.join(listed[:-1])} and {listed[-1]}.{nodes}"


def _quota_exceeded(details: Details) -> str:
    """Tells a request above the quota from one that waits for the owner's other deployments."""
    resource = details["resource"]
    requested = amount_in_words(resource, details["requested"])
    quota, allocated = (public_amount(resource, details[name]) for name in ("quota", "allocated"))
    if details["requested"] > details["quota"]:
        return f"Asks for {requested}, and its owner's quota is {quota}."
    return f"Asks for {requested}: its owner has {allocated} allocated, and the quota is {quota}."


def _cluster_paused(details: Details) -> str:
    if details.get("state") == "DELETING":
        return "The cluster is being deleted: nothing starts any more."
    what = "is being drained" if details.get("state") == "DRAINING" else "is paused"
    since = f" since {moment_in_words(details['since'])}" if "since" in details else ""
    by = f" by {details['actor']}" if "actor" in details else ""
    why = f" ({details['cause']})" if "cause" in details else ""
    return f"The cluster {what}{since}{by}{why}: nothing starts until it is resumed."


def _max_runtime_exceeded(details: Details) -> str:
    return f"Ran longer than the {details['max_runtime_s']} s that it was allowed."


def _never_possible(details: Details) -> str:
    why = details["why"]
    sentence = SENTENCES[why["code"]](why["details"])
    return f"The cluster could not have run it for {details['after_s']} s: {sentence}"


def _backoff(details: Details) -> str:
    return f"It is tried again at {moment_in_words(details['retry_at'])}."


def _waiting_for_victims(details: Details) -> str:
    count = details["count"]
    victims = (
        "the deployment that it evicted" if count == 1 else f"{count} deployments that make room"
    )
    return f"Starts as soon as {victims} {'has' if count == 1 else 'have'} ended."


def _on_node(before: str, after: str) -> Callable[[Details], str]:
    """A sentence with the node's name in it, where the details have one."""
    return lambda details: f"{before}{' ' + details['node'] if details.get('node') else ''}{after}"


def _node_away(details: Details) -> str:
    """One sentence for a STARTING deployment, one with the time for one that is on the node."""
    if "since" not in details:
        return _on_node("Its node", " does not answer: it goes on as soon as it does.")(details)
    return f"Its node {details['node']} has not answered since {moment_in_words(details['since'])}."


def _api_away(details: Details) -> str:
    since = f" since {moment_in_words(details['since'])}" if details.get("since") else ""
    return f"The API server of its cluster has not answered{since}: what runs there runs on."


def _secret(what: str) -> Callable[[Details], str]:
    """Where it goes, and its name where it is no person's."""

    def sentence(details: Details) -> str:
        name = f"{details['secret']} " if details.get("secret") else ""
        return f"The secret {name}for {details['target']} {what}"

    return sentence


def _exited(details: Details) -> str:
    code = details.get("exit_code")
    if code is None:
        return _said("It ended and left no exit code")(details)
    return f"It ended with exit code {code}."


def _out_of_memory(details: Details) -> str:
    requested = amount_in_words("ram_mib", details["ram_mib"])
    return f"It needed more memory than the {requested} it asked for."


def _out_of_disk(details: Details) -> str:
    most = details.get("ephemeral_mib")
    sentence = "It wrote more scratch than it may"
    return _said(f"{sentence}, {most} MiB" if most is not None else sentence)(details)


def _not_ready_in_time(details: Details) -> str:
    return with_message(f"It ran, but was not ready within {details['within_s']} s", details)


def _gang_incomplete(details: Details) -> str:
    missing = [str(number) for number in details["missing"]]
    replicas = "replica" if details["count"] == 1 else "replicas"
    return (
        f"Its {replicas} {some_of(missing, details['count'])} did not come within "
        f"{details['within_s']} s, and the others waited for them."
    )


def _said(sentence: str) -> Callable[[Details], str]:
    """A sentence, and the runtime's message, if there is one."""
    return lambda details: with_message(sentence, details)


def _always(sentence: str) -> Callable[[Details], str]:
    return lambda _: sentence


SENTENCES: Mapping[str, Callable[[Details], str]] = {
    NO_CAPACITY_YET: _no_capacity_yet,
    "EXCEEDS_CAPACITY": _exceeds_capacity,
    "NO_MATCHING_NODE": _no_node,
    "INSUFFICIENT_CAPACITY": _insufficient_capacity,
    "FRAGMENTED": _fragmented,
    **whole_nodes.SENTENCES,
    "BLOCKED_BY_HEAD": others.blocked_by_head,
    "RESERVED_FOR_HEAD": others.reserved_for_head,
    WAITING_FOR_DEPENDENCIES: others.waiting_for_dependencies,
    DEPENDENCY_FAILED: others.dependency_failed,
    "QUOTA_EXCEEDED": _quota_exceeded,
    "SWEEP_LIMIT": others.sweep_limit,
    CLUSTER_PAUSED: _cluster_paused,
    windows.CODE: windows.sentence,
    BACKOFF: _backoff,
    NOT_YET_EVALUATED: _always("The scheduler has not looked at it yet."),
    "PREEMPTED": others.preempted,
    "NODE_DRAINED": others.node_drained,
    NODE_LOST: _on_node("The node", " on which it ran was lost, so it went back into the queue."),
    CONTAINER_LOST: _on_node("Its container is gone from the node", ", and why is unknown."),
    MAX_RUNTIME_EXCEEDED: _max_runtime_exceeded,
    NEVER_POSSIBLE: _never_possible,
    # Codes of a runtime (runtimes/base.py): of a starting deployment, or of a failed attempt.
    WAITING_FOR_VICTIMS: _waiting_for_victims,
    NODE_AWAY: _node_away,
    API_AWAY: _api_away,
    NOT_READY_IN_TIME: _not_ready_in_time,
    START_DELAYED: _said("It could not be started yet, and is tried again"),
    ENV_SEALED: _always(
        "Its env cannot be opened with the platform's present keys: "
        "ask an operator for the key that sealed it, or submit it again."
    ),
    GANG_INCOMPLETE: _gang_incomplete,
    PEERS_UNREACHABLE: _said("Its replicas cannot reach each other"),
    SECRET_MISSING: _secret("does not exist any more: write it again, or submit without it."),
    SECRET_SEALED: _secret(
        "cannot be opened with the platform's present keys: write it again, or ask an operator for "
        "the key that sealed it."
    ),
    "PULLING_IMAGE": _said("Its image is being pulled"),
    "IMAGE_PULL_DELAYED": image_pull_delayed,
    "IMAGE_PULL_FAILED": _said("Its image could not be pulled"),
    "FETCHING_DATA": _said("Its data is being fetched"),
    "FETCH_DELAYED": _said("Its data could not be fetched yet, and is tried again"),
    "FETCH_FAILED": _said("Its data could not be fetched"),
    "COMMAND_FAILED": _said("Its command could not be started"),
    "OUT_OF_MEMORY": _out_of_memory,
    "OUT_OF_DISK": _out_of_disk,
    "EXITED": _exited,
    "REFUSED": _said("The runtime refused it"),
    "UNSCHEDULABLE": _said("Its node did not take it"),
    "DISRUPTED": _said("The machine on which it ran ended it"),
    "NOT_READY": not_ready,
    NOT_ALIVE: not_alive,
    READY: _always("It is ready again."),
    **failed_starts.SENTENCES,
    IMAGE_PULLED_AHEAD: _on_node("Its image was pulled ahead on", ", where it will likely start."),
    ADOPTED: _always("It ran on while its node was away, and goes on."),
    "PAUSED": _on_node("It was paused at its engine, on", ": it runs on once that is undone."),
}
