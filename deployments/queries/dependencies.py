"""Reads what deployments depend on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from deployments.models import Deployment


class Dependency(NamedTuple):
    """A deployment that another one depends on."""

    id: UUID
    status: str


Dependencies = Mapping[UUID, Sequence[Dependency]]


def dependencies_of(deployments: Iterable[Deployment]) -> dict[UUID, list[Dependency]]:
    """The dependencies of each deployment that has any, oldest first, by its id. One query."""
    links = Deployment.depends_on.through.objects.filter(
        from_deployment__in=[row.pk for row in deployments]
    ).order_by("to_deployment")
    found: dict[UUID, list[Dependency]] = {}
    for key, dependency, status in links.values_list(
        "from_deployment_id", "to_deployment_id", "to_deployment__status"
    ):
        found.setdefault(key, []).append(Dependency(dependency, status))
    return found
