"""Pages of deployment lists, read as ranges of indexes: no list reads more rows the longer the
history is.

PostgreSQL reads a page from one index only where the first columns of that index have one value
each. A list goes over several clusters, statuses and priority classes; so each combination of them
is a range that gives its first rows in the order of their ids, and the page is merged from these.
All of it is one query, whose cost grows with the number of ranges and the size of the page.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Collate

from clusters.models import Cluster
from deployments.models import Deployment, Status
from mlops_platform.api.ids import first_uuid_at

NAME_ORDER = "C"
"""The collation of names in `deployment_by_name`: the same order in every database."""
MILLISECOND = timedelta(milliseconds=1)
"""What an id tells of a time for sure: those of earlier versions tell no more."""
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)

_LEADING = {"status": ("s.status", "text"), "priority_class__value": ("p.value", "integer")}
"""What a list may be ordered by before the id, with few values: the column, and its type."""


@dataclass(frozen=True)
class Selection:
    """Which deployments a list shows, by what the indexes are ordered by, and in which order."""

    clusters: QuerySet[Cluster]
    statuses: Sequence[str] = ()
    priority: str | None = None
    owner: UUID | None = None
    kind: str | None = None
    first_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    ordering: tuple[str, ...] = ("-id",)
    after: tuple[Any, ...] = field(default=())

    @property
    def is_narrowed(self) -> bool:
        """Whether it leaves out some of its clusters' deployments."""
        return any(
            (self.statuses, self.priority, self.owner, self.kind, self.first_id, *self.times)
        )

    @property
    def times(self) -> tuple[datetime | None, datetime | None]:
        return self.created_after, self.created_before

    @property
    def descends(self) -> bool:
        return self.ordering[0].startswith("-")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name.lstrip("-") for name in self.ordering)


class DeploymentList(QuerySet[Deployment]):
    """A list before it is read: it carries its selection through filters and paging."""

    selection: Selection

    def narrowed(self, **changes: Any) -> Self:
        """The same list with another selection."""
        clone = self.all()
        clone.selection = replace(self.selection, **changes)
        return clone

    def first_rows(self, count: int) -> list[Deployment]:
        """The first rows of the selection, in its order. Two queries."""
        ids = RawSQL(*ranges(self.selection, count))  # noqa: S611  # what users send is bound
        descends = self.selection.descends
        order: list[Any] = []
        for column in self.selection.columns:
            value = Collate(F(column), NAME_ORDER) if column == "name" else F(column)
            order.append(value.desc() if descends else value.asc())
        with in_order():
            return list(self.filter(pk__in=ids).order_by(*order)[:count])

    def among(self, ids: Sequence[UUID]) -> list[Deployment]:
        """Those of the given deployments that the selection has, in any order. One query."""
        chosen = self.selection
        found = self.filter(pk__in=ids, cluster__in=chosen.clusters)
        if chosen.created_after is not None:
            found = found.filter(created_at__gt=chosen.created_after)
        if chosen.statuses:
            found = found.filter(status__in=chosen.statuses)
        if chosen.priority is not None:
            found = found.filter(priority_class__name=chosen.priority)
        if chosen.owner is not None:
            found = found.filter(owner=chosen.owner)
        return list(found)

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]  # no part of the stubs
        clone.selection = self.selection
        return clone


def deployments_of(clusters: QuerySet[Cluster]) -> DeploymentList:
    """The list of all deployments of these clusters, newest first; no query of its own."""
    found = DeploymentList(Deployment)
    found.selection = Selection(clusters)
    return found.select_related("priority_class")


def list_of(rows: QuerySet[Deployment], selection: Selection) -> DeploymentList:
    """These rows, which must be those of the selection, as a list; no query of its own."""
    found = DeploymentList(Deployment, query=rows.query.chain())
    found.selection = selection
    return found


@contextmanager
def in_order() -> Iterator[None]:
    """A transaction in which PostgreSQL does not read a whole range before it sorts it, where it
    takes the range for a short one. One query."""
    with transaction.atomic(savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        yield


def ids_in_order(query: str, params: Sequence[Any]) -> list[UUID]:
    """The ids that a query of ranges gives. Two queries."""
    with in_order(), connection.cursor() as cursor:
        cursor.execute(query, params)
        return [pk for (pk,) in cursor.fetchall()]


def count_up_to(selection: Selection, most: int) -> int:
    """How many deployments it has, or `most` where it has more. One query."""
    text, params = ranges(selection, most, ordered=False)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({text}) counted", params)  # noqa: S608  # as there
        return int(cursor.fetchone()[0])


def ranges(selection: Selection, count: int, *, ordered: bool = True) -> tuple[str, list[Any]]:
    """SQL and parameters that give the first ids of the selection, or unless `ordered`, any: these
    come range after range, and the last range is not read where those before it have enough."""
    clusters, given = selection.clusters.order_by().values("pk").query.sql_with_params()
    if "name" in selection.columns:
        return _by_name(selection, clusters, given, count)
    if not selection.is_narrowed and selection.columns == ("id",):
        return _by_id(selection, clusters, given, count, ordered=ordered)
    return _by_group(selection, clusters, given, count, ordered=ordered)


def _by_id(
    selection: Selection, clusters: str, given: Sequence[Any], count: int, *, ordered: bool
) -> tuple[str, list[Any]]:
    """A range for each cluster, of `deployment_by_cluster`."""
    inner_order = f"ORDER BY d.id {_direction(selection)}"
    order = inner_order if ordered else ""
    after = f"AND d.id {_comparison(selection)} %s::uuid" if selection.after else ""
    text = f"""
        SELECT d.id FROM ({clusters}) c(id)
         CROSS JOIN LATERAL (
               SELECT d.id FROM deployments_deployment d WHERE d.cluster_id = c.id {after}
                {inner_order} LIMIT %s) d
         {order} LIMIT %s"""  # noqa: S608  # what users send is bound
    return text, [*given, *selection.after, count, count]


def _by_name(
    selection: Selection, clusters: str, given: Sequence[Any], count: int
) -> tuple[str, list[Any]]:
    """A range for each cluster, of `deployment_by_name`."""
    direction = _direction(selection)
    name = f'd.name COLLATE "{NAME_ORDER}"'
    order = f"{name} {direction}, d.id {direction}"
    after = f"AND ({name}, d.id) {_comparison(selection)} (%s, %s::uuid)" if selection.after else ""
    text = f"""
        SELECT d.id FROM ({clusters}) c(id)
         CROSS JOIN LATERAL (
               SELECT d.id, d.name FROM deployments_deployment d WHERE d.cluster_id = c.id {after}
                ORDER BY {order} LIMIT %s) d
         ORDER BY {order} LIMIT %s"""  # noqa: S608  # what users send is bound
    return text, [*given, *selection.after, count, count]


def _by_group(
    selection: Selection, clusters: str, given: Sequence[Any], count: int, *, ordered: bool
) -> tuple[str, list[Any]]:
    """A range for each cluster, status and priority class: of `deployment_by_owner`, of
    `service_by_cluster`, or of `deployment_by_class`. A list of jobs passes over the services in
    its ranges, of which there are few beside jobs.

    A page goes on after a row of one status, say, in that status behind its id, and in each later
    status from the beginning.
    """
    direction = _direction(selection)
    compare = _comparison(selection)
    leading = _LEADING.get(selection.columns[0])
    inner = ""
    inner_params: list[Any] = []
    outer, outer_params = "", []
    if selection.owner is not None:
        inner, inner_params = " AND d.owner_id = %s", [selection.owner]
    if selection.kind is not None:
        inner += " AND d.kind = %s"
        inner_params += [selection.kind]
    if selection.first_id is not None:
        inner += " AND d.id >= %s::uuid"
        inner_params += [selection.first_id]
    if (time := selection.created_after) is not None:
        inner += " AND d.id >= %s::uuid AND d.created_at > %s"
        inner_params += [first_uuid_at(time), time]
    if (time := selection.created_before) is not None:
        inner += " AND d.id < %s::uuid AND d.created_at < %s"
        inner_params += [first_uuid_at(time + MILLISECOND), time]
    if selection.after and leading:
        (value, key), (column, kind) = selection.after, leading
        start = LAST if selection.descends else FIRST
        inner += f" AND d.id {compare} CASE WHEN {column} = %s::{kind} THEN %s ELSE %s END::uuid"
        inner_params += [value, key, start]
        outer, outer_params = f" AND {column} {compare}= %s::{kind}", [value]
    elif selection.after:
        inner, inner_params = (
            f"{inner} AND d.id {compare} %s::uuid",
            [*inner_params, *selection.after],
        )
    if selection.priority is not None:
        outer, outer_params = f"{outer} AND p.name = %s", [*outer_params, selection.priority]
    first = f"{leading[0]} {direction}, " if leading else ""
    order = f"ORDER BY {first}d.id {direction}" if ordered else ""
    text = f"""
        SELECT d.id FROM ({clusters}) c(id)
         CROSS JOIN unnest(%s::text[]) s(status)
         CROSS JOIN deployments_priorityclass p
         CROSS JOIN LATERAL (
               SELECT d.id FROM deployments_deployment d
                WHERE d.cluster_id = c.id AND d.status = s.status
                  AND d.priority_class_id = p.id{inner}
                ORDER BY d.id {direction} LIMIT %s) d
         WHERE true{outer}
         {order} LIMIT %s"""  # noqa: S608  # what users send is bound
    statuses = list(selection.statuses or Status.values)
    return text, [*given, statuses, *inner_params, count, *outer_params, count]


def _direction(selection: Selection) -> str:
    return "DESC" if selection.descends else "ASC"


def _comparison(selection: Selection) -> str:
    return "<" if selection.descends else ">"
