"""Reads what deployments depend on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from deployments.models import Deployment
from deployments.names import Named, named
from deployments.queries.names import CALLED


class Dependency(NamedTuple):
    """A deployment that another one depends on."""

    id: UUID
    status: str
    name: Named


Dependencies = Mapping[UUID, Sequence[Dependency]]
OF_DEPENDENCY = ("id", "status", *CALLED)
"""The columns of a deployment of which dependency_of makes a dependency."""


def dependency_of(id_: UUID, status: str, *called: str) -> Dependency:
    return Dependency(id_, status, named(id_, *called))


def dependencies_of(deployments: Iterable[Deployment]) -> dict[UUID, list[Dependency]]:
    """The dependencies of each deployment that has any, oldest first, by its id. One query."""
    links = Deployment.depends_on.through.objects.filter(
        from_deployment__in=[row.pk for row in deployments]
    ).order_by("to_deployment")
    found: dict[UUID, list[Dependency]] = {}
    columns = ("from_deployment_id", *(f"to_deployment__{each}" for each in OF_DEPENDENCY))
    for key, *row in links.values_list(*columns):
        found.setdefault(key, []).append(dependency_of(*row))
    return found
