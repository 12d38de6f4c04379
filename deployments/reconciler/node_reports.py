"""What the endpoints showed of their nodes, handed to the clusters' own code where it is news."""

from clusters import node_status
from clusters.models import Runtime
from clusters.node_status import Found
from deployments.reconciler.observation import EndpointView, Observation


def note(site: Observation) -> None:
    """Nodes that answer are open, those that do not are NOT_READY; sizes follow what is found.

    Refreshes the site's nodes where anything changed.
    """
    changed = False
    engines = {node.endpoint_id: node for node in site.nodes.values()}
    for view in site.views.values():
        if view.sealed:  # our fault: what runs there is not lost for that
            continue
        if view.error:
            changed |= node_status.is_away(view.endpoint, view.error)
        elif site.cluster.runtime == Runtime.KUBERNETES:
            if view.capacities is not None:
                changed |= node_status.found_all(view.endpoint, _found(view))
        else:
            changed |= node_status.answers(
                view.endpoint, engines.get(view.endpoint.pk), _found(view)
            )
    if changed:
        site.read_nodes()


def _found(view: EndpointView) -> list[Found]:
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
        for each in view.capacities or ()
    ]
