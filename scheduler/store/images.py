"""Reads which nodes have the images of what starts."""

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from clusters import node_images
from deployments.models import Deployment
from deployments.runtimes.image_names import canonical
from scheduler.engine import Decision
from scheduler.engine.snapshot import LocalImage


def with_local_images(cluster_id: UUID, decision: Decision) -> Decision:
    """The decision in which images choose between equal nodes. Two queries where anything starts on
    one of several nodes and evicts nothing, else none.

    The images are read after it is decided what starts: of a long queue they would be many.
    """
    nodes = decision.snapshot.nodes
    starts = [start.workload_id for start in decision.starts if not start.victims]
    if len(nodes) < 2 or not starts:
        return decision
    by_image: dict[str, list[str]] = defaultdict(list)
    for id_, image in _images_of(starts):
        by_image[canonical(image)].append(id_)
    numbers = {id_: number for number, id_ in enumerate(sorted(node.id for node in nodes))}
    found = node_images.nodes_with(by_image, cluster_id)
    images = tuple(
        LocalImage(tuple(sorted(by_image[name])), tuple(sorted(numbers[id_] for id_ in here)))
        for name, ids in sorted(found.items())
        if 0 < len(here := ids & numbers.keys()) < len(numbers)  # else it makes no difference
    )
    return decision.with_local_images(images) if images else decision


def _images_of(ids: Collection[str]) -> list[tuple[str, str]]:
    rows = Deployment.objects.filter(pk__in=[UUID(id_) for id_ in ids])
    return [(str(pk), image) for pk, image in rows.values_list("pk", "image")]
