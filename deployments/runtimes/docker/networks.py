"""The network of a gang on one engine: made with its first container, removed with its last.

Docker's own DNS resolves a container's aliases in such a network, as it does not in the default
one. No container of others is in it.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.runtimes.base import Code, LaunchSpec, Problem, RefusedError, one_line
from deployments.runtimes.docker.client import Answered, Engine

LABEL = "mlops-platform.cluster"
DEFAULT = "bridge"  # of a sandbox: the engine's own network, which has no DNS
UNUSED_FOR = timedelta(minutes=15)  # then the start for which it was made has been given up
NO_ADDRESSES_LEFT = re.compile("non-overlapping|fully subnetted", re.IGNORECASE)


def own_network(launch_spec: LaunchSpec) -> str | None:
    """The name of the gang's own network; None for one that an operator has chosen, or none."""
    peers = launch_spec.peers
    if peers is None or not peers.reachable or launch_spec.sandbox.network != DEFAULT:
        return None
    return peers.group


def ensure(engine: Engine, name: str, cluster_id: str) -> None:
    """Make the network unless it exists. Of several that were made at once, one stays: an engine
    may give two networks the same name, and then starts no container in either.

    Raises RefusedError with UNSCHEDULABLE where the engine has no range of addresses left.
    """
    if _named(engine, name):
        return
    try:
        engine.call(
            lambda client: client.create_network(
                name, driver="bridge", check_duplicate=True, labels={LABEL: cluster_id}
            )
        )
    except Answered as error:
        if NO_ADDRESSES_LEFT.search(str(error)):
            said = f"The engine has no range of addresses left for the gang's network: {error}"
            raise RefusedError(Problem(Code.UNSCHEDULABLE, one_line(said))) from error
        if error.status != 409:  # another worker has made it
            raise
    for surplus in sorted(each["Id"] for each in _named(engine, name))[1:]:
        remove(engine, surplus)


def remove(engine: Engine, name_or_id: str) -> None:
    """Remove the network, unless a container in it runs."""
    try:
        engine.call(lambda client: client.remove_network(name_or_id))
    except Answered as error:
        if error.status not in {403, 404, 409}:  # in use, or gone
            raise


def tidy(engine: Engine, cluster_id: str, used: Collection[str], *, leaving: bool) -> None:
    """Remove the cluster's networks that a killed worker has left: those that are not `used`, and
    unless it is `leaving` no start can be about to use."""
    made_before = datetime.now(UTC) - UNUSED_FOR
    for network in _labelled(engine, cluster_id):
        created = datetime.fromisoformat(network["Created"])
        if network["Name"] not in used and (leaving or created < made_before):
            remove(engine, network["Id"])


def any_of(engine: Engine, cluster_id: str) -> bool:
    return bool(_labelled(engine, cluster_id))


def _labelled(engine: Engine, cluster_id: str) -> list[dict[str, Any]]:
    filters = {"label": f"{LABEL}={cluster_id}"}
    found: list[dict[str, Any]] = engine.call(lambda client: client.networks(filters=filters))
    return found


def _named(engine: Engine, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.call(lambda client: client.networks(names=[name]))
    return [each for each in found if each["Name"] == name]  # the filter also finds parts of names
