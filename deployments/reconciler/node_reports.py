"""Reports what the endpoints show of their nodes to the clusters app, which writes what is new."""

import re
from collections.abc import Mapping

from clusters import node_images
from clusters.models import MAX_CPU_MILLI, MAX_GPU, MAX_RAM_MIB, Runtime
from clusters.services import node_status
from clusters.services.node_status import Found
from deployments.reconciler.observation import EndpointView, Observation
from deployments.runtimes.base import Capacity, one_line

# What the tables can store, and no more than any real cluster has.
_NAME = re.compile(r"[\w.:@-]{1,100}", re.ASCII)
_LABEL = re.compile(r"[\w./-]{1,317}", re.ASCII)
_VALUE = re.compile(r"[\w.-]{0,63}", re.ASCII)
MOST_LABELS = 200


def write(observation: Observation) -> None:
    """A node whose endpoint answers opens, one whose endpoint does not is NOT_READY, and its
    capacity follows what the endpoint reports.

    Reads the observation's nodes anew where a node has changed. Its images are written beside it.
    """
    changed = False
    of_docker = observation.cluster.runtime == Runtime.DOCKER  # an engine is one node
    node_by_endpoint = {node.endpoint_id: node for node in observation.nodes.values()}
    for endpoint_view in observation.endpoint_views.values():
        endpoint = endpoint_view.endpoint
        if endpoint_view.unknown:  # not the endpoint's fault: what runs there is not lost for it
            continue
        if endpoint_view.error:
            if endpoint_view.called or not endpoint.error:  # else nothing new is known of it
                is_node = of_docker and not endpoint_view.denied
                changed |= node_status.is_away(endpoint, endpoint_view.error, is_node=is_node)
        elif observation.cluster.runtime == Runtime.KUBERNETES:
            if endpoint_view.capacities is not None:
                changed |= node_status.found_all(endpoint, _found(endpoint_view))
        else:
            node = node_by_endpoint.get(endpoint.pk)
            changed |= node_status.answers(endpoint, node, _found(endpoint_view))
    if changed:
        observation.read_nodes()
    _write_images(observation)


def _write_images(observation: Observation) -> None:
    """Of the nodes whose images an endpoint has listed. One query where none has changed, none
    where none were listed."""
    listed = {
        (endpoint_view.endpoint.pk, each.node): each.images
        for endpoint_view in observation.endpoint_views.values()
        if not endpoint_view.error
        for each in endpoint_view.capacities or ()
        if each.images is not None
    }
    nodes = observation.nodes.values()
    if listed:
        node_images.write(
            {
                node.pk: listed[node.endpoint_id, node.name]
                for node in nodes
                if node.endpoint_id and (node.endpoint_id, node.name) in listed
            }
        )


def _found(endpoint_view: EndpointView) -> list[Found]:
    """The nodes, each once; without those whose names are none. An endpoint may report anything."""
    by_name = {str(each.node): each for each in endpoint_view.capacities or ()}
    return [_storable(name, each) for name, each in by_name.items() if _NAME.fullmatch(name)]


def _storable(name: str, capacity: Capacity) -> Found:
    return Found(
        name,
        _between(capacity.cpu_milli, MAX_CPU_MILLI),
        _between(capacity.ram_mib, MAX_RAM_MIB),
        None if capacity.gpu is None else _between(capacity.gpu, MAX_GPU),
        _labels(capacity.labels),
        capacity.ready,
        capacity.cordoned,
        one_line(capacity.reason),
    )


def _between(amount: int, most: int) -> int:
    return max(0, min(amount, most))


def _labels(given: Mapping[str, object]) -> dict[str, str]:
    """As many labels as a node may have, without those that Kubernetes itself would refuse."""
    labels = {
        key: value
        for key, value in given.items()
        if isinstance(value, str) and _LABEL.fullmatch(key) and _VALUE.fullmatch(value)
    }
    return dict(list(labels.items())[:MOST_LABELS])
