"""Reports what the endpoints show of their nodes to the clusters app, which writes what is new."""

from clusters import node_status
from clusters.models import Runtime
from clusters.node_status import Found
from deployments.reconciler.observation import EndpointView, Observation


def write(observation: Observation) -> None:
    """A node whose endpoint answers opens, one whose endpoint does not is NOT_READY, and its
    capacity follows what the endpoint reports.

    Reads the observation's nodes anew where a node has changed.
    """
    changed = False
    node_by_endpoint = {node.endpoint_id: node for node in observation.nodes.values()}
    for endpoint_view in observation.endpoint_views.values():
        endpoint = endpoint_view.endpoint
        if endpoint_view.unknown:  # not the endpoint's fault: what runs there is not lost for it
            continue
        if endpoint_view.error:
            changed |= node_status.is_away(endpoint, endpoint_view.error)
        elif observation.cluster.runtime == Runtime.KUBERNETES:
            if endpoint_view.capacities is not None:
                changed |= node_status.found_all(endpoint, _found(endpoint_view))
        else:
            node = node_by_endpoint.get(endpoint.pk)
            changed |= node_status.answers(endpoint, node, _found(endpoint_view))
    if changed:
        observation.read_nodes()


def _found(endpoint_view: EndpointView) -> list[Found]:
    return [
        Found(
            each.node,
            each.cpu_milli,
            each.ram_mib,
            each.gpu,
            dict(each.labels),
            each.ready,
            each.cordoned,
        )
        for each in endpoint_view.capacities or ()
    ]
