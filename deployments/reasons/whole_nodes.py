"""Why a deployment that takes whole nodes, or all GPUs of nodes, waits."""

from collections.abc import Callable, Mapping
from typing import Any

from deployments.names import called

Details = Mapping[str, Any]


def too_few(details: Details) -> str:
    """Of EXCEEDS_CAPACITY."""
    room_for, replicas, gpus = details["room_for"], details["replicas"], details["whole"] == "gpus"
    if not room_for:
        return "No node of the cluster is large enough, and a whole one is asked for."
    equal = "number of GPUs" if gpus else "size"
    return (
        f"Each of its {replicas} replicas takes {'all GPUs of a node' if gpus else 'a whole node'},"
        f" and only {room_for} large enough {'node has' if room_for == 1 else 'nodes have'} the "
        f"same {equal}."
    )


def _in_use(is_empty: str, are_empty: str, becomes: str) -> Callable[[Details], str]:
    def sentence(details: Details) -> str:
        nodes, empty, replicas = details["nodes"], details["empty"], details["replicas"]
        if not nodes:
            found = "No open node is large enough"
        elif nodes == 1:
            found = f"1 node would be large enough, and it {is_empty.format('not ')}"
        else:
            some = "none" if not empty else f"only {empty} of one size"
            verb = are_empty if empty > 1 else is_empty
            found = f"{nodes} nodes would be large enough, {some} {verb.format('')}"
        asked = f", and it asks for {replicas}" if replicas > 1 else ""
        following = ""
        if details.get("soon_empty"):
            soon = details["soon_empty"]
            following = f"; {soon['node']} {becomes} when {called(soon, 'after')} ends"
        closed = details.get("closed_nodes", 0)
        shut = f" {closed} {'node is' if closed == 1 else 'nodes are'} closed." if closed else ""
        return f"{found}{asked}{following}.{shut}"

    return sentence


SENTENCES: Mapping[str, Callable[[Details], str]] = {
    "NO_EMPTY_NODE": _in_use("is {}empty", "are {}empty", "is empty"),
    "GPUS_IN_USE": _in_use("has {}all GPUs free", "have {}all GPUs free", "has all of them free"),
}
