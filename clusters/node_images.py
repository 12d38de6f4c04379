"""Reads and writes which images the nodes have.

Images are no capacity: they are written without the cluster's lock, and wake no cycle up.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from clusters.models import Node, NodeImages

logger = logging.getLogger(__name__)

BATCH = 100  # lists of one statement
# By the index of names first: the lists of all nodes are megabytes.
_NODES_WITH = """
WITH having_any AS MATERIALIZED (
     SELECT node_id, names FROM clusters_nodeimages WHERE names && %(names)s::text[])
SELECT wanted.name, having_any.node_id
  FROM having_any
  JOIN clusters_node n ON n.id = having_any.node_id AND n.cluster_id = %(cluster)s
  JOIN unnest(%(names)s::text[]) wanted(name) ON having_any.names @> ARRAY[wanted.name]
"""


def write(found: Mapping[UUID, Sequence[str]]) -> None:
    """Write the lists that have changed, by node. One query, and two more where any has."""
    digests = {pk: _digest(names) for pk, names in found.items()}
    known = dict(NodeImages.objects.filter(node__in=list(found)).values_list("node_id", "digest"))
    now = timezone.now()
    changed = [
        NodeImages(node_id=pk, names=list(names), digest=digests[pk], changed_at=now)
        for pk, names in found.items()
        if bytes(known.get(pk, b"")) != digests[pk]
    ]
    if not changed:
        return
    nodes = Node.objects.filter(pk__in=[each.pk for each in changed])
    present = set(nodes.values_list("pk", flat=True))
    try:
        with transaction.atomic():
            NodeImages.objects.bulk_create(
                [each for each in changed if each.pk in present],
                batch_size=BATCH,
                update_conflicts=True,
                unique_fields=["node"],
                update_fields=["names", "digest", "changed_at"],
            )
    except IntegrityError:  # a node was deleted just now: the next lists are written
        logger.info("images of nodes are not written: a node is gone")


def nodes_with(names: Collection[str], cluster_id: UUID) -> dict[str, set[str]]:
    """The ids of the cluster's nodes that have each of these images, by its name. One query."""
    found: dict[str, set[str]] = {name: set() for name in names}
    with connection.cursor() as cursor:
        cursor.execute(_NODES_WITH, {"names": list(found), "cluster": cluster_id})
        for name, node_id in cursor.fetchall():
            found[name].add(str(node_id))
    return found


def names_on(node_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """The names of these nodes' images, of those that are known. One query."""
    return dict(NodeImages.objects.filter(node__in=node_ids).values_list("node_id", "names"))


def _digest(names: Sequence[str]) -> bytes:
    return hashlib.blake2b("\n".join(names).encode(), digest_size=16).digest()
