"""What the search of the deployments' page finds: by indexes alone, however long the history is.

No index finds a part of a text in the middle, so names are found by their beginning, and images
only of what has not ended, which is little beside what has.
"""

import re
from uuid import UUID

from django.db.models import Q

from accounts.models import User
from clusters.models import Cluster
from deployments.admin.label_filter import label_in
from deployments.models import PLACED, Deployment, Status
from deployments.queries import conditions
from deployments.queries.conditions import NAME_ORDER
from deployments.queries.lists import Selection, ids_in_order, ranges, some_ids
from mlops_platform.api.ids import parse_uuid

MOST_FOUND = 200  # of each way to find them
ID_BITS = 128

_BY_NAME = f"""
SELECT d.id FROM clusters_cluster c
 CROSS JOIN LATERAL (
       SELECT d.id, d.name FROM deployments_deployment d
        WHERE d.cluster_id = c.id
          AND d.name COLLATE "{NAME_ORDER}" >= %s AND d.name COLLATE "{NAME_ORDER}" < %s
        ORDER BY d.name COLLATE "{NAME_ORDER}", d.id LIMIT {MOST_FOUND}) d
 ORDER BY d.name COLLATE "{NAME_ORDER}", d.id LIMIT {MOST_FOUND}
"""  # noqa: S608  # of constants alone


def find(term: str) -> Q:
    """Deployments by a whole id; else by the first 8 digits of an id or more, the beginning of a
    name, the name of their owner in any letter case, a label with its value, or, where they have
    not ended, a part of their image. Up to six queries; each way finds 200 at most."""
    term = term.strip()
    whole = parse_uuid(term)
    if whole is not None:
        return Q(pk=whole)
    found = set(_by_image(term)) | set(_by_owner(term)) | set(_by_name(term))
    found |= set(_by_label(term))
    return Q(pk__in=found) | _by_beginning_of_id(term)


def _by_name(term: str) -> list[UUID]:
    after = term[:-1] + chr(ord(term[-1]) + 1) if term and ord(term[-1]) < 0xD7FF else ""
    if not after:
        return []
    return ids_in_order(_BY_NAME, (term, after))


def _by_owner(term: str) -> list[UUID]:
    owner = User.objects.named(term).values_list("pk", flat=True).first()
    if owner is None:
        return []
    selection = Selection(Cluster.with_deleted.all(), owner=owner)
    return ids_in_order(*ranges(selection, MOST_FOUND))


def _by_label(term: str) -> list[UUID]:
    label = label_in(term) if "=" in term else None
    if label is None:
        return []
    labelled = conditions.has_label(*label)
    selection = Selection(Cluster.with_deleted.all(), conditions=(labelled,))
    return some_ids(selection, MOST_FOUND)


def _by_image(term: str) -> list[UUID]:
    live = Deployment.objects.filter(Q(status=Status.QUEUED) | Q(status__in=PLACED))
    found = live.filter(image__icontains=term)
    return list(found.values_list("pk", flat=True)[:MOST_FOUND])


def _by_beginning_of_id(term: str) -> Q:
    digits = term.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]{8,31}", digits):
        return Q(pk__in=[])
    free = ID_BITS - 4 * len(digits)
    first = int(digits, 16) << free
    return Q(pk__gte=UUID(int=first), pk__lte=UUID(int=first + (1 << free) - 1))
