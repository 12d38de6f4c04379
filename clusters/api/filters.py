"""The query string of the list of clusters."""

from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet

from clusters.api.named_filters import an_organization
from clusters.models import Cluster
from mlops_platform.api.filters import ReadFilter


class ClusterFilterSet(FilterSet):
    organization = ReadFilter(
        read=str, method="of_organization", help_text="The name or the id of an organization."
    )

    def of_organization(
        self, clusters: QuerySet[Cluster], name: str, organization: str
    ) -> QuerySet[Cluster]:
        return clusters.filter(organization=an_organization(self.request.user, organization))
