"""Clusters, and what they consist of, by their names, as far as a user may see them."""

from uuid import UUID

from django.db.models import Model, QuerySet, Value
from django.db.models.functions import Lower

from accounts.models import User
from clusters.queries import clusters_visible_to
from mlops_platform.api.errors import not_found
from mlops_platform.api.names import ambiguous


def cluster_named(user: User, name: str, organization_id: UUID | None = None) -> UUID:
    """The id of a cluster that the user may see, of that organization alone where one is given.

    Letter case does not count. 404 where none has that name, 409 where several have it. One query.
    """
    visible = clusters_visible_to(user)
    if organization_id is not None:
        visible = visible.filter(organization=organization_id)
    found = visible.alias(lower=Lower("name")).filter(lower=Lower(Value(name)))
    rows = list(found.values_list("organization__name", "pk"))
    if not rows:
        raise not_found()
    if len(rows) > 1:
        raise ambiguous("clusters", name, rows)
    return rows[0][1]


def named_in(cluster_id: UUID, rows: type[Model], name: str) -> UUID:
    """The id of that cluster's row of that very name; 404 where there is none. The caller checks
    whether the user may see the cluster. One query."""
    manager: QuerySet = rows._default_manager.filter(cluster=cluster_id, name=name)
    key: UUID | None = manager.values_list("pk", flat=True).first()
    if key is None:
        raise not_found()
    return key
