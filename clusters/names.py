"""Clusters, and what they consist of, by their names, as far as a user may see them."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet, Value
from django.db.models.functions import Lower
from rest_framework.exceptions import APIException

from accounts.models import User
from clusters.models import Cluster
from clusters.queries import clusters_visible_to
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.names import ambiguous, is_lookable
from organizations.access import reaches, role_too_low, roles_of
from organizations.models import Role


def cluster_named(user: User, name: str, organization_id: UUID | None = None) -> UUID:
    """The id of a cluster that the user may see, of that organization alone where one is given.

    Letter case does not count. 404 where none has that name, 409 where several have it. One query.
    """
    visible = clusters_visible_to(user)
    if organization_id is not None:
        visible = visible.filter(organization=organization_id)
    found = visible.alias(lower=Lower("name")).filter(lower=Lower(Value(name)))
    rows = list(found.values_list("organization__name", "pk"))
    if len(rows) == 1:
        return rows[0][1]
    raise _refusal(name, rows)


def cluster_called(user: User, name: str) -> UUID:
    """As cluster_named, for whatever text a body may have: 404 where nothing could be named so."""
    if not is_lookable(name):
        raise not_found()
    return cluster_named(user, name)


def clusters_for(
    user: User, given: Iterable[UUID | str], role: Role
) -> dict[UUID | str, Cluster | APIException]:
    """Each cluster by its id or name as given; where the user may not see it 404, where the user's
    role is below `role` 403, for the name of several 409. Two queries in all, two more with names.
    """
    keys: dict[UUID | str, UUID | None] = {text: parse_uuid(text) for text in set(given)}
    called = _called(user, {text for text, key in keys.items() if key is None})
    keys |= {text: rows[0][1] for text, rows in called.items() if len(rows) == 1}
    rows = Cluster.objects.select_related("organization")
    found = rows.in_bulk({key for key in keys.values() if key})
    roles = roles_of(user, {cluster.organization_id for cluster in found.values()})
    answers: dict[UUID | str, Cluster | APIException] = {}
    for text, key in keys.items():
        cluster = found.get(key) if key else None
        own = roles.get(cluster.organization_id) if cluster else None
        if cluster is None or own is None:
            answers[text] = _refusal(str(text), called.get(text, ()))
        elif reaches(own, role):
            answers[text] = cluster
        else:
            answers[text] = role_too_low(role, own)
    return answers


def named_in(cluster_id: UUID, rows: type[Model], name: str) -> UUID:
    """The id of that cluster's row of that very name; 404 where there is none. The caller checks
    whether the user may see the cluster. One query."""
    manager: QuerySet = rows._default_manager.filter(cluster=cluster_id, name=name)
    key: UUID | None = manager.values_list("pk", flat=True).first()
    if key is None:
        raise not_found()
    return key


def _called(user: User, names: Collection[UUID | str]) -> dict[UUID | str, list[tuple[str, UUID]]]:
    """The clusters that the user may see under each of these names: of each its organization's
    name, and its id. Two queries, none for no name."""
    wanted = [str(name) for name in names if is_lookable(str(name))]
    if not wanted:
        return {}
    with connection.cursor() as cursor:  # in PostgreSQL, as Python's lower case is another one
        cursor.execute("SELECT name, lower(name) FROM unnest(%s::text[]) AS name", [wanted])
        lower = dict(cursor.fetchall())
    visible = clusters_visible_to(user).annotate(lower=Lower("name"))
    found = defaultdict(list)
    rows = visible.filter(lower__in=set(lower.values()))
    for name, organization, id_ in rows.values_list("lower", "organization__name", "pk"):
        found[name].append((organization, id_))
    return {name: found[lower[name]] for name in wanted}


def _refusal(name: str, rows: Collection[tuple[str, UUID]]) -> APIException:
    """409 where several have the name, else 404."""
    return ambiguous("clusters", name, rows) if len(rows) > 1 else not_found()
