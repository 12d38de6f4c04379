"""The list of deployments as operators read it: by ranges of indexes, like the lists of the API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet

from clusters.models import Cluster
from deployments.admin.label_filter import LabelFilter, label_in
from deployments.models import Deployment, Kind, PriorityClass, Status
from deployments.queries.conditions import has_label, is_member_of
from deployments.queries.lists import (
    DeploymentList,
    Selection,
    count_up_to,
    ids_in_order,
    list_of,
    ranges,
)
from mlops_platform.admin.filters import AgeFilter
from mlops_platform.admin.pages import HistoryPaginator, PageOfRows
from mlops_platform.api.ids import parse_uuid


class DeploymentPaginator(HistoryPaginator):
    def count_to(self, most: int) -> int:
        rows = self.object_list
        if isinstance(rows, DeploymentList):
            return count_up_to(rows.selection, most)
        return super().count_to(most)


class DeploymentPage(PageOfRows):
    """Its queryset is a DeploymentList where filters narrow the list, and no search does."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        found = super().get_queryset(*args, **kwargs)
        selection = None if self.query.strip() else selection_of(self.get_filters_params())
        if selection is None:
            return found
        descends = str(found.query.order_by[0]).startswith("-")
        return list_of(found, replace(selection, ordering=("-id" if descends else "id",)))

    def read(self) -> list[Any]:
        """Two queries more where filters narrow the list, four with a label."""
        if not isinstance(self.queryset, DeploymentList):
            return super().read()
        (first, last), chosen = self.bounds, self.queryset.selection
        if chosen.conditions:
            keys = list_of(Deployment.objects.only("pk"), chosen)
            ids = [row.pk for row in keys.first_rows(last)[first:]]
        else:
            ids = ids_in_order(*ranges(chosen, last))[first:]
        # Without the filters: they would give PostgreSQL other ways to find the rows.
        rows = self.root_queryset.filter(pk__in=ids).defer(*self.model_admin.unlisted)
        return list(rows.order_by(*self.queryset.query.order_by))


def selection_of(filters: Mapping[str, Sequence[str]]) -> Selection | None:
    """What these parameters of the list leave; None where ranges are of no use, as for an age alone
    or none. One query for a priority class."""
    chosen = Selection(Cluster.with_deleted.all())
    for parameter, values in filters.items():
        narrow = _NARROW.get(parameter)
        narrowed = narrow(chosen, values[-1]) if narrow else None
        if narrowed is None:
            return None
        chosen = narrowed
    return chosen if filters.keys() - {AgeFilter.parameter_name} else None


def _to_statuses(chosen: Selection, text: str) -> Selection | None:
    statuses = tuple(text.split(","))
    return replace(chosen, statuses=statuses) if set(statuses) <= set(Status.values) else None


def _to_priority(chosen: Selection, text: str) -> Selection | None:
    classes = PriorityClass.objects.filter(pk=text) if text.isdecimal() else None
    found = classes.values_list("name", flat=True).first() if classes is not None else None
    return replace(chosen, priority=found) if found else None


def _to_kind(chosen: Selection, text: str) -> Selection | None:
    return replace(chosen, kind=text) if text in Kind.values else None


def _to_cluster(chosen: Selection, text: str) -> Selection | None:
    return _to_clusters(chosen, "pk", text)


def _to_organization(chosen: Selection, text: str) -> Selection | None:
    return _to_clusters(chosen, "organization", text)


def _to_clusters(chosen: Selection, column: str, text: str) -> Selection | None:
    key = parse_uuid(text)
    return replace(chosen, clusters=chosen.clusters.filter(**{column: key})) if key else None


def _to_label(chosen: Selection, text: str) -> Selection | None:
    label = label_in(text)
    if label is None:
        return None
    return replace(chosen, conditions=(*chosen.conditions, has_label(*label)))


def _to_sweep(chosen: Selection, text: str) -> Selection | None:
    key = parse_uuid(text)
    if key is None:
        return None
    return replace(chosen, conditions=(*chosen.conditions, is_member_of(key)))


def _to_owner(chosen: Selection, text: str) -> Selection | None:
    key = parse_uuid(text)
    return replace(chosen, owner=key) if key else None


def _to_age(chosen: Selection, text: str) -> Selection:
    return replace(chosen, first_id=AgeFilter.first_id(text))


_NARROW: dict[str, Callable[[Selection, str], Selection | None]] = {
    "status__exact": _to_statuses,
    "status__in": _to_statuses,
    "priority_class__id__exact": _to_priority,
    "kind__exact": _to_kind,
    "owner__id__exact": _to_owner,
    "cluster__id__exact": _to_cluster,
    "cluster__organization__id__exact": _to_organization,
    LabelFilter.parameter_name: _to_label,
    "sweep__id__exact": _to_sweep,
    AgeFilter.parameter_name: _to_age,
}
