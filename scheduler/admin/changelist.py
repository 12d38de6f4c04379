"""The list of the ledger as operators read it: by ranges of indexes, whatever narrows it.

PostgreSQL supposes that what a filter finds is spread evenly over the ledger, and so reads all of
it where that is not so. Each trigger is a range of one index, in the order of ids, and the list is
merged from these; no row is read for it but those that are shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from mlops_platform.admin.filters import AgeFilter
from mlops_platform.admin.pages import HistoryPaginator, PageOfRows
from mlops_platform.api.ids import parse_uuid
from scheduler.models import SchedulingCycle, Trigger

_IDS = """
SELECT found.id FROM unnest(%(triggers)s::text[]) AS by(trigger)
 CROSS JOIN LATERAL (
       SELECT c.id FROM scheduler_schedulingcycle c
        WHERE c.trigger = by.trigger {narrowed}
        ORDER BY c.id {order} LIMIT %(most)s) found
 ORDER BY found.id {order} LIMIT %(most)s
"""
_EVICTED = {"some": "AND c.evicted_count > 0", "none": "AND c.evicted_count = 0"}
_CLUSTER = "AND c.cluster_id = %(cluster)s"
_AGE = "AND c.id >= %(first_id)s"


class CycleList(QuerySet[SchedulingCycle]):
    """A list that filters narrow, with its first ids in its order."""

    first_ids: Sequence[UUID] = ()


class CyclePaginator(HistoryPaginator):
    def count_to(self, most: int) -> int:
        rows = self.object_list
        return len(rows.first_ids) if isinstance(rows, CycleList) else super().count_to(most)


class CyclePage(PageOfRows):
    """Its queryset is a CycleList where filters other than the age narrow the list, and no search
    does: one query then finds what to count and what to show."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        found = super().get_queryset(*args, **kwargs)
        filters = self.get_filters_params()
        if self.query.strip() or not filters.keys() - {AgeFilter.parameter_name}:
            return found
        descends = str(found.query.order_by[0]).startswith("-")
        ids = _first_ids(filters, HistoryPaginator.most + 1, descends=descends)
        if ids is None:
            return found
        narrowed = CycleList(SchedulingCycle, query=found.query.chain())
        narrowed.first_ids = ids
        return narrowed

    def read(self) -> list[Any]:
        if not isinstance(self.queryset, CycleList):
            return super().read()
        first, last = self.bounds
        # Without the filters: they would give PostgreSQL other ways to find the rows.
        rows = self.root_queryset.filter(pk__in=self.queryset.first_ids[first:last])
        ordered = rows.defer(*self.model_admin.unlisted).order_by(*self.queryset.query.order_by)
        return list(ordered)


def _first_ids(
    filters: Mapping[str, Sequence[str]], most: int, *, descends: bool
) -> list[UUID] | None:
    """The first ids of what these parameters leave; None for parameters of other lists."""
    params: dict[str, Any] = {"triggers": Trigger.values, "most": most}
    narrowed = []
    for name, values in filters.items():
        value = values[-1]
        if name == "trigger__exact":
            params["triggers"] = [value]
        elif name == "evicted" and value in _EVICTED:
            narrowed.append(_EVICTED[value])
        elif name == "cluster__id__exact" and (cluster_id := parse_uuid(value)):
            narrowed.append(_CLUSTER)
            params["cluster"] = cluster_id
        elif name == AgeFilter.parameter_name and (first_id := AgeFilter.first_id(value)):
            narrowed.append(_AGE)
            params["first_id"] = first_id
        else:
            return None
    query = _IDS.format(narrowed=" ".join(narrowed), order="DESC" if descends else "ASC")
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return [pk for (pk,) in cursor.fetchall()]
