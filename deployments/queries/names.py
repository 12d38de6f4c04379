"""Reads what people call deployments, and where they run."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, DeploymentEvent, Sweep
from deployments.names import Named, Names, all_references, named
from mlops_platform.api.ids import parse_uuid

CALLED = ("name", "owner__username", "image", "kind")
SURROUNDINGS = (
    Prefetch("owner", User.objects.only("username")),
    Prefetch(
        "cluster",
        Cluster.with_deleted.select_related("organization").only("name", "organization__name"),
    ),
    Prefetch("sweep", Sweep.objects.only("name")),
)
"""The names around deployments. Two queries for any number, three with members of sweeps."""


def called(rows: QuerySet[Deployment]) -> list[str]:
    """What the rows are called, such as `eval-7 of ada`, in their order. One query."""
    return [str(named(*row)) for row in rows.values_list("pk", *CALLED)]


class NamedEvents(NamedTuple):
    """What events name: deployments, and for those that are there also their clusters."""

    names: Names
    clusters: Mapping[str, str]


def named_in(events: Sequence[DeploymentEvent]) -> NamedEvents:
    """What these events name, by the ids of deployments: none of a cluster of which no event is.
    One query at most."""
    own = {each.deployment_id for each in events if each.deployment_id}
    others = all_references(each.details for each in events)
    ids = own | {key for each in others if (key := parse_uuid(each))}
    if not ids:
        return NamedEvents({}, {})
    found = Deployment.objects.filter(pk__in=ids)
    rows = list(found.values_list("cluster_id", "cluster__name", "pk", *CALLED))
    within = {each.cluster_id for each in events if each.cluster_id}
    within |= {cluster_id for cluster_id, _, pk, *_ in rows if pk in own}
    names, clusters = dict[str, Named](), dict[str, str]()
    for cluster_id, cluster, pk, *called in rows:
        if cluster_id in within:
            names[str(pk)], clusters[str(pk)] = named(pk, *called), cluster
    return NamedEvents(names, clusters)


def names_of(ids: Iterable[UUID | str], within: Collection[UUID] | None = None) -> dict[str, Named]:
    """By id, as text; none for a deployment that is gone, or is not `within` these clusters. One
    query, none for no id.

    The caller has checked that the user may see them, or gives the clusters that may be seen:
    whatever refers to a deployment is of its cluster.
    """
    keys = {key for each in ids if (key := parse_uuid(each))}
    if not keys:
        return {}
    found = Deployment.objects.filter(pk__in=keys)
    if within is not None:
        found = found.filter(cluster__in=within)
    rows = found.values_list("pk", *CALLED)
    return {str(row[0]): named(*row) for row in rows}
