"""Has the images of waiting deployments pulled on the nodes where they will likely start.

Nothing is evicted or removed for that, and whatever fails is left for a while: the start itself
pulls as ever. Images that stay behind on a node are its engine's to clean up.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from clusters import node_images
from clusters.models import Node, NodeState, Prepull, State
from deployments import hooks
from deployments.models import Deployment, Status
from deployments.reconciler.observation import Observation
from deployments.reconciler.starts import image_pulls, likely_images
from deployments.runtimes.image_names import canonical
from mlops_platform.database.clock import database_now

logger = logging.getLogger(__name__)

MOST_IN_LINE = 4  # deployments of a cluster whose images are pulled ahead
JUST_PULLED = timedelta(minutes=3)  # its node may not have listed its images since


def request(observation: Observation, pull: Callable[[UUID, str], None]) -> None:
    """Request the images that the first in line lack on their likely nodes, where the cluster's
    policy says so. Two queries and what a cycle reads; none without the policy."""
    cluster = observation.cluster
    if cluster.prepull != Prepull.LIKELY or cluster.state != State.ACTIVE:
        return
    likely = dict(hooks.likely_nodes(cluster.pk, MOST_IN_LINE))
    if not likely:
        return
    waiting = Deployment.objects.filter(pk__in=list(likely), status=Status.QUEUED)
    image_of = dict(waiting.values_list("pk", "image"))
    nodes = {node.pk: node for node in observation.nodes.values() if _is_open(observation, node)}
    present = node_images.names_on(list(nodes))  # without those whose images are not known
    missing: dict[tuple[UUID, str], list[str]] = {}
    for deployment_id, image in image_of.items():
        for node_id in likely[deployment_id]:
            endpoint_id = nodes[node_id].endpoint_id if node_id in present else None
            if endpoint_id is not None and canonical(image) not in present[node_id]:
                missing.setdefault((endpoint_id, image), []).append(str(deployment_id))
    since = database_now() - JUST_PULLED
    for (endpoint_id, image), deployment_ids in missing.items():
        if image_pulls.was_pulled_since(endpoint_id, image, since):
            continue
        if likely_images.want(endpoint_id, image, deployment_ids):
            pull(endpoint_id, image)


def request_in_peace(observation: Observation, pull: Callable[[UUID, str], None]) -> None:
    """The same; a fault of our own is logged, and stops nothing else that the pass does."""
    try:
        request(observation, pull)
    except Exception:
        extra = {"cluster_id": str(observation.cluster.pk)}
        logger.exception("images are not pulled ahead", extra=extra)


def _is_open(observation: Observation, node: Node) -> bool:
    answers = observation.endpoint_view_of(node) is not None
    return answers and node.effective_state == NodeState.READY
