"""Whether the tables keep what the platform has acknowledged."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import psycopg2

from chaos.checks.findings import Breach, Finding
from chaos.load.journal import Submit

ENDED = ("COMPLETED", "FAILED", "STOPPED")
# A row with its place in the timeline: how often it was submitted, by the events.
ROWS = """
SELECT d.name, d.id::text, d.cluster_id::text, d.status, p.name,
       (SELECT count(*) FROM deployments_deploymentevent e
         WHERE e.deployment_id = d.id AND e.type = 'SUBMITTED')
  FROM deployments_deployment d JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 WHERE d.name LIKE %s
"""
UNSETTLED = """
SELECT count(*) FROM deployments_deployment
 WHERE name LIKE %s AND status NOT IN ('COMPLETED', 'FAILED', 'STOPPED')
   AND simulated_runtime_s IS NOT NULL
"""


class Row(NamedTuple):
    """A deployment in the table; `submitted` counts the events of that type."""

    name: str
    id: str
    cluster_id: str
    status: str
    priority: str
    submitted: int


def read(connection: "psycopg2.extensions.connection", prefix: str) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(ROWS, [f"{prefix}-%"])
        return [Row(*row) for row in cursor.fetchall()]


def unsettled(connection: "psycopg2.extensions.connection", prefix: str) -> int:
    """How many deployments with a run time have not ended."""
    with connection.cursor() as cursor:
        cursor.execute(UNSETTLED, [f"{prefix}-%"])
        return int(cursor.fetchone()[0])


def broken(submits: Sequence[Submit], rows: Iterable[Row]) -> Iterator[Finding]:
    """Compare once nothing changes any more and all that has a run time has had the time to end."""
    by_name: Mapping[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.name].append(row)
    for submit in submits:
        yield from _broken_of(submit, by_name[submit.name])
    bulks: Mapping[str, list[Submit]] = defaultdict(list)
    for submit in submits:
        if submit.bulk:
            bulks[submit.bulk].append(submit)
    for bulk, items in bulks.items():
        there = [item for item in items if by_name[item.name]]
        if there and len(there) < len(items):
            yield Finding(
                Breach.LOST, _at(items[0]), f"bulk {bulk}: {len(there)} of {len(items)} are there"
            )


def _broken_of(submit: Submit, rows: list[Row]) -> Iterator[Finding]:
    if len(rows) > 1:
        ids = ", ".join(row.id for row in rows)
        yield Finding(
            Breach.DOUBLED, _at(submit), f"{submit.name} is there {len(rows)} times: {ids}"
        )
    if submit.refused and rows:
        yield Finding(Breach.DOUBLED, _at(submit), f"{submit.name} was refused, and is there")
    if submit.acknowledged_at is None:
        return
    row = next((row for row in rows if row.id == submit.id), None)
    if row is None:
        yield Finding(Breach.LOST, submit.acknowledged_at, f"{submit.name} ({submit.id}) is gone")
        return
    if row.submitted != 1:
        sentence = f"{submit.name} ({row.id}) has {row.submitted} events of its submit"
        yield Finding(Breach.DOUBLED, submit.acknowledged_at, sentence)
    if row.status not in _expected(submit):
        sentence = f"{submit.name} ({row.id}) is {row.status}"
        yield Finding(Breach.LOST, submit.acknowledged_at, sentence)
    stopped_at = submit.stop_acknowledged_at
    if stopped_at is not None and row.status not in ENDED:
        sentence = f"{submit.name} ({row.id}) was stopped, and is {row.status}"
        yield Finding(Breach.LOST, stopped_at, sentence)
    if stopped_at is not None and submit.stop_said != row.status:
        sentence = f"{submit.name} ({row.id}): the stop said {submit.stop_said}, it is {row.status}"
        yield Finding(Breach.LOST, stopped_at, sentence)
    raised_at = submit.priority_acknowledged_at
    if raised_at is not None and row.priority != submit.priority_asked:
        sentence = f"{submit.name} ({row.id}) has priority {row.priority} again"
        yield Finding(Breach.LOST, raised_at, sentence)
    if not submit.priority_asked and row.priority != submit.priority:
        sentence = f"{submit.name} ({row.id}) has another priority, {row.priority}"
        yield Finding(Breach.LOST, submit.acknowledged_at, sentence)


def _expected(submit: Submit) -> tuple[str, ...]:
    """The states that it may be in at the end."""
    if submit.stop_asked:
        return ("STOPPED", "COMPLETED") if submit.runtime_s else ("STOPPED", "QUEUED", "RUNNING")
    return ("COMPLETED",) if submit.runtime_s else ("QUEUED", "RUNNING")


def _at(submit: Submit) -> float | None:
    return submit.acknowledged_at
