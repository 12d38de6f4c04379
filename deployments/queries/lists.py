"""Pages of deployment lists, read as ranges of indexes: no list reads more rows the longer the
history is.

PostgreSQL reads a page from one index only where the first columns of that index have one value
each. A list goes over several clusters, statuses and priority classes; so each combination of them
is a range that gives its first rows in the order of their ids, and the page is merged from these.
All of it is one query, whose cost grows with the number of ranges and the size of the page.

A list that is narrowed further (conditions.py) is read by the index of its conditions where they
leave few rows, and else as ranges that pass over what they leave out: a query more asks which.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Collate

from clusters.models import Cluster
from deployments.models import Deployment, Status
from deployments.queries.conditions import MILLISECOND, NAME_ORDER, Condition
from mlops_platform.api.ids import first_uuid_at

FEW = 2000
"""Rows that are sorted once they were found."""
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
    conditions: tuple[Condition, ...] = ()
    ordering: tuple[str, ...] = ("-id",)
    after: tuple[Any, ...] = field(default=())

    @property
    def is_narrowed(self) -> bool:
        """Whether it leaves out some of its clusters' deployments."""
        return self.is_narrowed_beyond_names or bool(self.conditions)

    @property
    def is_narrowed_beyond_names(self) -> bool:
        """Whether the index of names alone cannot give its order."""
        return any(
            (
                *(self.statuses, self.priority, self.owner, self.kind, self.first_id),
                *self.times,
                *(not each.of_name for each in self.conditions),
            )
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

    def that(self, *conditions: Condition) -> Self:
        """Those of them of which these hold, too."""
        return self.narrowed(conditions=(*self.selection.conditions, *conditions))

    def first_rows(self, count: int) -> list[Deployment]:
        """The first rows of the selection, in its order. Two queries, four with conditions."""
        ids: Any = _few(self.selection)
        if ids is None:
            ids = RawSQL(*ranges(self.selection, count))  # noqa: S611  # what users send is bound
        descends = self.selection.descends
        order: list[Any] = []
        for column in self.selection.columns:
            value = Collate(F(column), NAME_ORDER) if column == "name" else F(column)
            order.append(value.desc() if descends else value.asc())
        with in_order(reads_rows=bool(self.selection.conditions)):
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
        if chosen.conditions:
            conditions, given = _all_of(chosen.conditions)
            text = f"SELECT d.id FROM deployments_deployment d WHERE d.id = ANY(%s){conditions}"  # noqa: S608  # as there
            found = found.filter(pk__in=RawSQL(text, [list(ids), *given]))  # noqa: S611  # as there
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
def in_order(*, reads_rows: bool = False) -> Iterator[None]:
    """A transaction in which PostgreSQL does not read a whole range before it sorts it, where it
    takes the range for a short one; `reads_rows`: nor all rows in the order of their keys, since
    those of a range lie apart. One query."""
    settings = "SET LOCAL enable_bitmapscan = off"
    if reads_rows:
        settings += "; SET LOCAL random_page_cost = 1"
    with transaction.atomic(savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute(settings)
        yield


def ids_in_order(query: str, params: Sequence[Any]) -> list[UUID]:
    """The ids that a query of ranges gives. Two queries."""
    with in_order(), connection.cursor() as cursor:
        cursor.execute(query, params)
        return [pk for (pk,) in cursor.fetchall()]


def count_up_to(selection: Selection, most: int) -> int:
    """How many deployments it has, or `most` where it has more. One query."""
    text, params = _any_of(selection, most)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({text}) counted", params)  # noqa: S608  # as there
        return int(cursor.fetchone()[0])


def count_by_status(selection: Selection, most: int) -> dict[str, int]:
    """How many deployments it has in each status, or `most` where it has more. One query."""
    counts, given = [], list[Any]()
    for status in selection.statuses or Status.values:
        text, params = _any_of(replace(selection, statuses=(status,)), most)
        counts.append(f"SELECT %s::text, count(*) FROM ({text}) counted")  # noqa: S608  # as there
        given += [status, *params]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts), given)
        return dict(cursor.fetchall())


def _any_of(selection: Selection, most: int) -> tuple[str, list[Any]]:
    """SQL and parameters that give ids of the selection in any order."""
    if selection.conditions:
        return _unordered(selection, most)
    return ranges(selection, most, ordered=False)


def _few(selection: Selection) -> list[UUID] | None:
    """The ids of the selection behind `after` where conditions leave so few that they can be
    sorted; None where they leave more, and without any. Two queries with conditions that may leave
    few."""
    may_leave_few = any(not each.leaves_most for each in selection.conditions)
    if not may_leave_few or "name" in selection.columns:
        return None
    found = some_ids(selection, FEW + 1)
    return found if len(found) <= FEW else None


def some_ids(selection: Selection, most: int) -> list[UUID]:
    """Ids of a selection with conditions, in any order. Two queries."""
    text, params = _unordered(selection, most)
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = on")
        cursor.execute(text, params)
        return [pk for (pk,) in cursor.fetchall()]


def _unordered(selection: Selection, most: int) -> tuple[str, list[Any]]:
    """As one condition, for which PostgreSQL chooses the index."""
    clusters, params = selection.clusters.order_by().values("pk").query.sql_with_params()
    texts, given = [f"d.cluster_id = ANY(ARRAY({clusters}))"], [*params]
    if selection.statuses:
        texts.append("d.status = ANY(%s)")
        given.append(list(selection.statuses))
    if selection.priority is not None:
        texts.append("p.name = %s")
        given.append(selection.priority)
    within, values = _within(selection)
    given += values
    if selection.after:
        *before, key = selection.after
        leading = _LEADING.get(selection.columns[0])
        first = f"{leading[0].replace('s.', 'd.')}, " if leading else ""
        compare, marks = _comparison(selection), "%s, " * len(before)
        within += f" AND ({first}d.id) {compare} ({marks}%s::uuid)"
        given += [*before, key]
    by_class = selection.priority is not None or (selection.after and "p." in within)
    join = "JOIN deployments_priorityclass p ON p.id = d.priority_class_id" if by_class else ""
    text = f"""
        SELECT d.id FROM deployments_deployment d {join}
         WHERE {" AND ".join(texts)}{within} LIMIT %s"""  # noqa: S608  # what users send is bound
    return text, [*given, most]


def _all_of(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    """The conditions as the end of another one."""
    text = "".join(f" AND {each.sql}" for each in conditions)
    return text, [value for each in conditions for value in each.params]


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
    conditions, values = _all_of(selection.conditions)
    after = f"AND ({name}, d.id) {_comparison(selection)} (%s, %s::uuid)" if selection.after else ""
    text = f"""
        SELECT d.id FROM ({clusters}) c(id)
         CROSS JOIN LATERAL (
               SELECT d.id, d.name FROM deployments_deployment d
                WHERE d.cluster_id = c.id {after}{conditions}
                ORDER BY {order} LIMIT %s) d
         ORDER BY {order} LIMIT %s"""  # noqa: S608  # what users send is bound
    return text, [*given, *selection.after, *values, count, count]


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
    inner, inner_params = _within(selection)
    outer, outer_params = "", list[Any]()
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


def _within(selection: Selection) -> tuple[str, list[Any]]:
    """Of each range, what narrows it beside its cluster, status and priority class."""
    text, params = _all_of(selection.conditions)
    if selection.owner is not None:
        text += " AND d.owner_id = %s"
        params += [selection.owner]
    if selection.kind is not None:
        text += " AND d.kind = %s"
        params += [selection.kind]
    if selection.first_id is not None:
        text += " AND d.id >= %s::uuid"
        params += [selection.first_id]
    if (time := selection.created_after) is not None:
        text += " AND d.id >= %s::uuid AND d.created_at > %s"
        params += [first_uuid_at(time), time]
    if (time := selection.created_before) is not None:
        text += " AND d.id < %s::uuid AND d.created_at < %s"
        params += [first_uuid_at(time + MILLISECOND), time]
    return text, params


def _direction(selection: Selection) -> str:
    return "DESC" if selection.descends else "ASC"


def _comparison(selection: Selection) -> str:
    return "<" if selection.descends else ">"
