"""The query string of a list of sweeps."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet

from clusters.api.named_filters import a_cluster, an_organization
from deployments.api.finding.conditions import an_id
from deployments.api.finding.named import a_user
from deployments.models import Sweep
from mlops_platform.api.filters import ReadFilter

Sweeps = QuerySet[Sweep]


class SweepFilterSet(FilterSet):
    cluster_id = ReadFilter(
        read=an_id,
        method="of_cluster",
        schema={"format": "uuid"},
        help_text="Only those of this cluster.",
    )
    cluster = ReadFilter(
        read=str, method="of_named_cluster", help_text="The name or the id of a cluster."
    )
    organization = ReadFilter(
        read=str, method="of_organization", help_text="The name or the id of an organization."
    )
    owner = ReadFilter(
        read=str, method="of_owner", help_text="A user's name or id, or `me` for your own."
    )

    def of_cluster(self, sweeps: Sweeps, name: str, cluster: UUID) -> Sweeps:
        return sweeps.filter(cluster=cluster)

    def of_named_cluster(self, sweeps: Sweeps, name: str, cluster: str) -> Sweeps:
        user, organization = self.request.user, self.data.get("organization")
        within = None if organization is None else an_organization(user, organization)
        return sweeps.filter(cluster=a_cluster(user, cluster, within))

    def of_organization(self, sweeps: Sweeps, name: str, organization: str) -> Sweeps:
        key: Any = an_organization(self.request.user, organization)
        return sweeps.filter(cluster__organization=key)

    def of_owner(self, sweeps: Sweeps, name: str, owner: str) -> Sweeps:
        return sweeps.filter(owner=a_user(self.request.user, owner, "owner"))
