"""The query string of a deployment list: which ones, in which order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django_filters.rest_framework import FilterSet

from clusters.api.named_filters import a_cluster, an_organization
from deployments.api.finding.conditions import ConditionFilterSet, a_time, an_id
from deployments.api.finding.named import a_user
from deployments.api.finding.parts import some_fields
from deployments.api.finding.totals import TOTAL, a_flag
from deployments.feed import window
from deployments.models import Status
from deployments.queries.lists import DeploymentList
from deployments.queries.priority_classes import priority_classes
from mlops_platform.api.errors import Invalid
from mlops_platform.api.filters import ReadFilter

# Each ends in a unique column: pages neither repeat nor skip a row. The id carries the time of
# submit (scheduling_key.py), so order by id alone is order by that time, and an index leads to any
# page.
ORDERINGS = {
    "created_at": ("id",),
    "-created_at": ("-id",),
    "priority": ("priority_class__value", "id"),
    "-priority": ("-priority_class__value", "-id"),
    "name": ("name", "id"),
    "-name": ("-name", "-id"),
    "status": ("status", "id"),
    "-status": ("-status", "-id"),
}


def some_statuses(texts: Sequence[str]) -> tuple[str, ...]:
    text = ",".join(texts)
    found = text.upper().split(",") if text.isascii() else []
    if not found or not set(found) <= set(Status.values):
        raise ValidationError(f"One of {', '.join(Status.values)}, or some with commas between.")
    return tuple(sorted(set(found)))


def a_priority(text: str) -> str:
    """A class's name. One query."""
    classes = priority_classes()
    found = text.upper() if text.isascii() else text
    if found not in classes:
        raise ValidationError(f"One of {', '.join(classes)}.")
    return found


def an_ordering(text: str) -> tuple[str, ...]:
    if text not in ORDERINGS:
        raise ValidationError(f"One of {', '.join(ORDERINGS)}.")
    return ORDERINGS[text]


class InClusterFilterSet(ConditionFilterSet):
    """Which deployments, where the path names the cluster already. Each filter narrows the list's
    selection."""

    status = ReadFilter(
        read=some_statuses,
        method="of_status",
        several=True,
        schema={"enum": Status.values},
        help_text="Any of them: given several times, or with commas between.",
    )
    priority = ReadFilter(
        read=a_priority,
        method="of_priority",
        help_text="A priority class, in any letter case.",
    )
    owner = ReadFilter(
        read=str, method="of_owner", help_text="A user's name or id, or `me` for your own."
    )
    created_after = ReadFilter(
        read=a_time,
        method="submitted_after",
        schema={"format": "date-time"},
        help_text="RFC 3339. Compares times: to follow what is new, use `updated_after`.",
    )

    def of_status(
        self, deployments: DeploymentList, name: str, statuses: Sequence[str]
    ) -> DeploymentList:
        return deployments.narrowed(statuses=statuses)

    def of_priority(self, deployments: DeploymentList, name: str, priority: str) -> DeploymentList:
        return deployments.narrowed(priority=priority)

    def of_owner(self, deployments: DeploymentList, name: str, owner: str) -> DeploymentList:
        return deployments.narrowed(owner=a_user(self.request.user, owner, "owner"))

    def submitted_after(
        self, deployments: DeploymentList, name: str, time: datetime
    ) -> DeploymentList:
        return deployments.narrowed(created_after=time)


class AllFilterSet(InClusterFilterSet):
    """Which deployments, of all clusters."""

    cluster_id = ReadFilter(
        read=an_id,
        method="of_cluster",
        schema={"format": "uuid"},
        help_text="Only those of this cluster.",
    )
    cluster = ReadFilter(
        read=str,
        method="of_named_cluster",
        help_text="The name or the id of a cluster. A name that several of your organizations have "
        "needs `organization` beside it.",
    )
    organization = ReadFilter(
        read=str, method="of_organization", help_text="The name or the id of an organization."
    )

    def of_cluster(self, deployments: DeploymentList, name: str, cluster: UUID) -> DeploymentList:
        return deployments.narrowed(clusters=deployments.selection.clusters.filter(pk=cluster))

    def of_named_cluster(
        self, deployments: DeploymentList, name: str, cluster: str
    ) -> DeploymentList:
        user, organization = self.request.user, self.data.get("organization")
        within = None if organization is None else an_organization(user, organization)
        return self.of_cluster(deployments, name, a_cluster(user, cluster, within))

    def of_organization(
        self, deployments: DeploymentList, name: str, organization: str
    ) -> DeploymentList:
        key = an_organization(self.request.user, organization)
        clusters = deployments.selection.clusters.filter(organization=key)
        return deployments.narrowed(clusters=clusters)


class ListFilterSet(FilterSet):
    """In which order, and how much of each."""

    fields = ReadFilter(
        read=some_fields,
        method="in_part",
        help_text="What each row shows beside its id, with commas between: `name,status`. "
        "Else all.",
    )
    total = ReadFilter(
        read=a_flag,
        method="in_part",
        schema={"enum": ["true", "false"]},
        help_text=f"With `true` the header {TOTAL} says how many there are on all pages.",
    )
    updated_after = ReadFilter(
        read=str,
        method="of_any_change",
        help_text="Those that have changed since that `Next-Cursor` of an answer, or since `now`; "
        "without `ordering` and `cursor`.",
    )
    ordering = ReadFilter(
        read=an_ordering,
        method="in_order",
        schema={"enum": list(ORDERINGS)},
        help_text=f"One of {', '.join(ORDERINGS)}; newest first without it. By name only without "
        "filters other than `name` and those by cluster or organization.",
    )

    def filter_queryset(self, queryset: DeploymentList) -> DeploymentList:
        narrowed: DeploymentList = super().filter_queryset(queryset)
        if "name" in narrowed.selection.columns and narrowed.selection.is_narrowed_beyond_names:
            offered = ", ".join(each for each in ORDERINGS if each.lstrip("-") != "name")
            raise Invalid({"ordering": f"With these filters, one of {offered}."})
        if narrowed.selection.created_after is not None and narrowed.selection.columns == ("id",):
            return self._settled(narrowed)
        return narrowed

    def _settled(self, deployments: DeploymentList) -> DeploymentList:
        """In the order of submit times: without those behind which an earlier one may still come,
        so that a client that asks for what is newer than the last one misses none. One query."""
        if deployments.selection.descends:
            return deployments
        return deployments.narrowed(created_before=window.seen_now().settled_at)

    def of_any_change(self, deployments: DeploymentList, name: str, cursor: str) -> DeploymentList:
        """Narrows nothing: updates.py reads what has changed among what the other filters leave."""
        return deployments

    def in_part(self, deployments: DeploymentList, name: str, given: Any) -> DeploymentList:
        """Narrows nothing: it is of the answer."""
        return deployments

    def in_order(
        self, deployments: DeploymentList, name: str, columns: tuple[str, ...]
    ) -> DeploymentList:
        return deployments.narrowed(ordering=columns)


class ClusterDeploymentFilterSet(ListFilterSet, InClusterFilterSet):
    pass


class DeploymentFilterSet(ListFilterSet, AllFilterSet):
    pass
