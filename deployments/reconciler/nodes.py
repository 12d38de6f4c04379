"""What the endpoints showed of their nodes, handed to the clusters' own code where it is news."""

from clusters import discovery
from clusters.discovery import Found
from clusters.models import Runtime
from deployments.reconciler.site import Site, View


def note(site: Site) -> None:
    """Nodes that answer are open, those that do not are NOT_READY; sizes follow what is found.

    Refreshes the site's nodes where anything changed.
    """
    changed = False
    engines = {node.endpoint_id: node for node in site.nodes.values()}
    for view in site.views.values():
        if view.sealed:  # our fault: what runs there is not lost for that
            continue
        if view.error:
            changed |= discovery.is_away(view.endpoint, view.error)
        elif site.cluster.runtime == Runtime.KUBERNETES:
            if view.capacities is not None:
                changed |= discovery.found_all(view.endpoint, _found(view))
        else:
            changed |= discovery.answers(view.endpoint, engines.get(view.endpoint.pk), _found(view))
    if changed:
        site.read_nodes()


def _found(view: View) -> list[Found]:
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
