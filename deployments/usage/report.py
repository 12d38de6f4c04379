"""Adds up usage within a window, by groups. One query: it sees one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from deployments.usage.measures import MEASURES, OF_INTERVAL, PARTS, days
from deployments.usage.models import DAY_MS
from mlops_platform.api.ids import milliseconds

HOUR_MS = 3600 * 1000
USER, CLUSTER, PRIORITY, LABEL, DAY, NODE_LABEL = GROUPS = (
    *("user", "cluster", "priority", "label", "day", "node_label"),
)
# What a group is of, and what it is called; the columns of every source.
_KEYS = {
    USER: ("user_id", "max(username)"),
    CLUSTER: ("cluster_id", "max(cluster)"),
    PRIORITY: ("priority_class", ""),
    LABEL: ("labels ->> %(label)s", ""),
    DAY: ("day", ""),
    NODE_LABEL: ("node_labels ->> %(node_label)s", ""),
}
_WHOSE = ("user_id", "username", "cluster_id", "cluster", "priority_class", "labels", "node_labels")


@dataclass(frozen=True)
class Question:
    """Usage of an organization from `begin` to `end`, which is not in the future, grouped by all of
    `group_by`. `label` and `node_label` are the keys of the labels to group by."""

    organization_id: UUID
    begin: datetime
    end: datetime
    now: datetime
    group_by: Sequence[str] = ()
    label: str = ""
    node_label: str = ""
    most: int = 10_000
    """Groups, beyond which one more is read."""


@dataclass(frozen=True)
class Group:
    """`keys` and `names` by the words of `group_by`; a label that is not there is None."""

    keys: Mapping[str, UUID | str | date | None]
    names: Mapping[str, str]
    measures: Mapping[str, int]
    cost: Decimal | None = None
    """None where the organization has no prices."""


@dataclass
class _Statement:
    params: dict[str, Any]
    by_day: bool
    by_label: bool
    parts: list[str] = field(default_factory=list)

    def add_days(self) -> None:
        """Of whole days, what has been summed."""
        labels = "labels" if self.by_label else "NULL::jsonb AS labels"
        whose = ", ".join(labels if name == "labels" else name for name in _WHOSE)
        self.parts.append(f"""
SELECT {whose}, day, {", ".join(MEASURES)} FROM deployments_usageofday
 WHERE organization_id = %(organization)s AND labels IS {"NOT" if self.by_label else ""} NULL
   AND day >= date '1970-01-01' + %(first_day)s::int
   AND day < date '1970-01-01' + %(end_day)s::int""")  # noqa: S608 - of constants

    def add_intervals(self, begin: str, end: str, condition: str) -> None:
        """Intervals of which a part may lie between the two."""
        self._add(
            "deployments_allocationinterval i",
            begin,
            end,
            f"""i.organization_id = %(organization)s AND {condition}
   AND coalesce(i.queued_ms, i.begin_ms) < {end}""",
        )

    def add_queue(self) -> None:
        """What waits now."""
        self._add(_QUEUE, "%(begin_ms)s", "%(end_ms)s", "i.queued_ms < %(end_ms)s")

    def _add(self, source: str, begin: str, end: str, condition: str) -> None:
        whose = ", ".join(f"i.{name}" for name in _WHOSE)
        window, day = f"(SELECT {begin}::bigint AS begin_ms, {end}::bigint AS end_ms)", "NULL::date"
        if self.by_day:
            last = f"least(coalesce(i.end_ms, {end}::bigint), {end}::bigint - 1)"
            first = f"greatest(coalesce(i.queued_ms, i.begin_ms), {begin}::bigint)"
            source += days(first, last)
            window = f"""(SELECT greatest(day.begin_ms, {begin}::bigint) AS begin_ms,
               least(day.end_ms, {end}::bigint) AS end_ms)"""
            day = f"date '1970-01-01' + (w.begin_ms / {DAY_MS})::int"
        measures = ", ".join(f"{OF_INTERVAL[name]} AS {name}" for name in MEASURES)
        self.parts.append(f"""
SELECT {whose}, {day} AS day, {measures}
  FROM {source}
 CROSS JOIN LATERAL {window} w {PARTS}
 WHERE {condition}""")  # noqa: S608 - of constants


_QUEUE = """(
       SELECT d.owner_id AS user_id, u.username, c.id AS cluster_id, c.name AS cluster,
              p.name AS priority_class, d.labels, '{}'::jsonb AS node_labels, 0 AS replicas,
              0::bigint AS cpu_milli, 0::bigint AS ram_mib, 0::bigint AS gpu, '' AS outcome,
              floor(extract(epoch FROM d.queued_at) * 1000)::bigint AS queued_ms,
              %(now_ms)s::bigint AS begin_ms, NULL::bigint AS end_ms, NULL::bigint AS lost_ms
         FROM clusters_cluster c
         JOIN deployments_deployment d ON d.cluster_id = c.id AND d.status = 'QUEUED'
         JOIN accounts_user u ON u.id = d.owner_id
         JOIN deployments_priorityclass p ON p.id = d.priority_class_id
        WHERE c.organization_id = %(organization)s AND c.deleted_at IS NULL) i"""


def usage_of(question: Question, *, summed: bool = True) -> list[Group]:
    """The groups, in the order of their keys; more than `most` only where there are too many.

    `summed`: False to read every interval in place of sums, which gives the same.
    """
    begin_ms, end_ms = milliseconds(question.begin), milliseconds(question.end)
    first_day, end_day = -(-begin_ms // DAY_MS), end_ms // DAY_MS
    statement = _Statement(
        {
            "organization": str(question.organization_id),
            "begin_ms": begin_ms,
            "end_ms": end_ms,
            "now_ms": milliseconds(question.now),
            "first_day": first_day,
            "end_day": end_day,
            "label": question.label,
            "node_label": question.node_label,
            "day_ms": DAY_MS,
            "most": question.most + 1,
        },
        by_day=DAY in question.group_by,
        by_label=LABEL in question.group_by,
    )
    for end in ("i.end_ms IS NULL", "i.end_ms >= %(begin_ms)s"):  # an OR would spare no index
        statement.add_intervals("%(begin_ms)s", "%(end_ms)s", f"NOT i.is_summed AND {end}")
    statement.add_queue()
    if not summed:
        every = "i.is_summed AND i.end_ms >= %(begin_ms)s"
        statement.add_intervals("%(begin_ms)s", "%(end_ms)s", every)
    elif first_day < end_day:
        statement.add_days()
        _add_edge(statement, begin_ms, first_day * DAY_MS)
        _add_edge(statement, end_day * DAY_MS, end_ms)
    else:
        _add_edge(statement, begin_ms, end_ms)
    return _read(statement, question)


def _add_edge(statement: _Statement, begin_ms: int, end_ms: int) -> None:
    """A part of a day, or of two. What was summed and lasted for a day at most ended within a day
    of it; what lasted longer has an index of its own."""
    if begin_ms >= end_ms:
        return
    after_ms = end_ms + DAY_MS
    short = f"i.end_ms BETWEEN {begin_ms} AND {after_ms}"
    statement.add_intervals(str(begin_ms), str(end_ms), f"i.is_summed AND {short}")
    long = f"i.end_ms > coalesce(i.queued_ms, i.begin_ms) + {DAY_MS} AND i.end_ms > {after_ms}"
    statement.add_intervals(str(begin_ms), str(end_ms), f"i.is_summed AND {long}")


def _read(statement: _Statement, question: Question) -> list[Group]:
    """Sums first by the labels of nodes too, of which few differ: prices follow from these."""
    keys = [_KEYS[word] for word in question.group_by]
    inner = [f"{key} AS key{number}" for number, (key, _) in enumerate(keys)]
    named = [f"{name} AS name{number}" for number, (_, name) in enumerate(keys) if name]
    outer_keys = [f"key{number}" for number in range(len(keys))]
    outer_names = [f"max(name{number})" for number, (_, name) in enumerate(keys) if name]
    groups = ", ".join([*outer_keys, "node_labels"])
    sql = f"""
WITH part AS ({" UNION ALL ".join(statement.parts)}),
summed AS (
    SELECT {", ".join([*inner, *named, "node_labels"])},
           {", ".join(f"sum({name}) AS {name}" for name in MEASURES)}
      FROM part GROUP BY {groups})
SELECT {", ".join([*outer_keys, *outer_names, *(f"sum({name})" for name in MEASURES)])},
       sum(gpu_ms * price.gpu_hour + cpu_milli_ms * price.core_hour / 1000
           + ram_mib_ms * price.gib_hour / 1024) / {HOUR_MS},
       EXISTS (SELECT FROM deployments_price WHERE organization_id = %(organization)s)
  FROM summed LEFT JOIN LATERAL (
       SELECT gpu_hour, core_hour, gib_hour FROM deployments_price p
        WHERE p.organization_id = %(organization)s
          AND (p.label = '' OR node_labels ->> p.label = p.value)
        ORDER BY p.rank LIMIT 1) price ON true
 {"GROUP BY " + ", ".join(outer_keys) if outer_keys else ""}
 {"ORDER BY " + ", ".join(outer_keys) if outer_keys else ""} LIMIT %(most)s
"""  # noqa: S608 - of constants
    with connection.cursor() as cursor:
        cursor.execute(sql, statement.params)
        return [_group(question, keys, row) for row in cursor.fetchall()]


def _group(question: Question, keys: Sequence[tuple[str, str]], row: Sequence[Any]) -> Group:
    words = question.group_by
    named = [word for word, (_, name) in zip(words, keys, strict=True) if name]
    names = row[len(words) : len(words) + len(named)]
    numbers = row[len(words) + len(named) : -2]
    *_, cost, has_prices = row
    return Group(
        dict(zip(words, row, strict=False)),
        dict(zip(named, names, strict=True)),
        {name: int(number or 0) for name, number in zip(MEASURES, numbers, strict=True)},
        (cost or Decimal(0)) if has_prices else None,
    )
