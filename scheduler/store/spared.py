"""Reads why running deployments are not preempted, for the reasons of waiting ones.

A page of a list may ask for many at once, so PostgreSQL counts by cause, in one statement. The
causes are those of engine/whatif/spared.py that no plan is needed for; a test compares the two. An
explanation names the deployments and plans the moment (explain.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from psycopg2.extras import Json

from deployments.models import Deployment
from mlops_platform.api.ids import milliseconds, moment
from scheduler.engine.whatif import Cause

MOST_ASKED = 20  # different questions of one answer
MOST_COUNTED = 10_000  # running deployments of a cluster: with as many it gets no answer
COUNTED = (  # in the order of Cause
    Cause.SAME_OR_HIGHER_CLASS,
    Cause.PREEMPTION_OFF,
    Cause.CLASS_NOT_PREEMPTIBLE,
    Cause.MAX_PREEMPTIONS,
    Cause.EXEMPT,
)

# What may be preempted has no cause. The size comes first, whatever the question leaves out: in a
# large cluster each question would else read all that runs.
SPARED = """
SELECT asked.number, found.cause, count(*),
       date_trunc('milliseconds', min(found.until) FILTER (WHERE found.cause = 'EXEMPT')),
       c.preempt_exempt_s, statement_timestamp()
  FROM unnest(%(numbers)s::int[], %(clusters)s::uuid[], %(values)s::int[], %(selectors)s::jsonb[],
              %(with_gpu)s::bool[], %(by_node)s::bool[], %(volumes)s::jsonb[])
       AS asked(number, cluster_id, value, selector, with_gpu, by_node, volumes)
  JOIN clusters_cluster c ON c.id = asked.cluster_id
  JOIN LATERAL (
       SELECT count(*) AS running
         FROM (SELECT FROM deployments_deployment
                WHERE cluster_id = c.id AND status IN ('STARTING', 'RUNNING')
                LIMIT %(most)s) placed) size ON size.running < %(most)s
 CROSS JOIN LATERAL (
       SELECT exempt.until,
              CASE WHEN p.value >= asked.value THEN 'SAME_OR_HIGHER_CLASS'
                   WHEN c.preemption = 'never' THEN 'PREEMPTION_OFF'
                   WHEN NOT p.preemptible THEN 'CLASS_NOT_PREEMPTIBLE'
                   WHEN d.preemption_count >= c.max_preemptions THEN 'MAX_PREEMPTIONS'
                   WHEN exempt.until > statement_timestamp() THEN 'EXEMPT'
                   WHEN exempt.until IS NULL AND c.preempt_exempt_s > 0 THEN 'EXEMPT'
              END AS cause
         FROM deployments_deployment d
         JOIN deployments_priorityclass p ON p.id = d.priority_class_id
        CROSS JOIN LATERAL (
              SELECT coalesce(d.started_at, d.admitted_at)
                     + c.preempt_exempt_s * interval '1 second' AS until) exempt
        WHERE d.cluster_id = asked.cluster_id AND d.status IN ('STARTING', 'RUNNING')
          AND (d.gpu > 0 OR NOT asked.with_gpu)
          AND (NOT asked.by_node OR EXISTS (
              SELECT FROM jsonb_array_elements(d.placement) e
                LEFT JOIN clusters_node n ON n.id = (e ->> 'node_id')::uuid
               WHERE e ->> 'node_id' IS NULL
                  OR n.state = 'READY' AND n.observed = 'READY' AND n.judged = 'READY'
                  AND n.labels @> asked.selector
                  AND NOT EXISTS (
                      SELECT FROM clusters_volume v
                       WHERE v.cluster_id = n.cluster_id AND asked.volumes ? v.name
                         AND NOT (n.labels @> v.node_selector
                                  AND (v.node_names = '[]' OR v.node_names ? n.name)))))
       ) found
 GROUP BY 1, 2, 5
"""


class _Question(NamedTuple):
    """What the answer for a waiting deployment depends on."""

    cluster_id: UUID
    value: int  # of its priority class
    selector: tuple[tuple[str, str], ...]
    with_gpu: bool  # it lacks GPUs alone
    by_node: bool  # not every node can run it
    volumes: tuple[str, ...]  # that it mounts


class _Count(NamedTuple):
    """How many are spared for a cause. `until` and `exempt` are the first end of an exempt time,
    where it is known, and that time; `now` is when they were counted."""

    cause: Cause
    number: int
    until: datetime | None
    exempt: timedelta
    now: datetime


def causes_of(
    waiting: Sequence[tuple[Deployment, Mapping[str, Any]]],
) -> dict[UUID, list[dict[str, Any]]]:
    """By id: `{"cause", "count", "until"}` in the order of Cause. One query.

    Each comes with the details of its reason. What asks beyond the first MOST_ASKED questions, or
    about a cluster in which MOST_COUNTED or more run, gets no answer.
    """
    question_of = {row.pk: _question(row, details) for row, details in waiting}
    questions = list(dict.fromkeys(question_of.values()))[:MOST_ASKED]
    answers = dict(zip(questions, _answers(questions), strict=True))
    found = {row.pk: list(_causes(row, answers.get(question_of[row.pk], ()))) for row, _ in waiting}
    return {pk: causes for pk, causes in found.items() if causes}


def _causes(row: Deployment, counts: Iterable[_Count]) -> Iterator[dict[str, Any]]:
    """No exempt time counts against a deployment that has waited for as long."""
    for cause, number, until, exempt, now in counts:
        ends: str | None = None
        if cause is Cause.EXEMPT:
            waited = moment(milliseconds(row.queued_at)) + exempt
            if waited <= now:
                continue
            ends = min(until or waited, waited).isoformat()
        yield {"cause": cause.value, "count": number, "until": ends}


def _question(row: Deployment, details: Mapping[str, Any]) -> _Question:
    return _Question(
        cluster_id=row.cluster_id,
        value=row.priority_class.value,
        selector=tuple(sorted(row.node_selector.items())),
        with_gpu=set(details.get("short", ())) == {"gpu"},
        by_node=bool(
            row.node_selector
            or row.volumes
            or details.get("closed_nodes")
            or "short" not in details
        ),
        volumes=tuple(sorted({mount["name"] for mount in row.volumes})),
    )


def _answers(questions: Sequence[_Question]) -> list[list[_Count]]:
    params: dict[str, Any] = {
        "numbers": list(range(len(questions))),
        "clusters": [each.cluster_id for each in questions],
        "values": [each.value for each in questions],
        "selectors": [Json(dict(each.selector)) for each in questions],
        "with_gpu": [each.with_gpu for each in questions],
        "by_node": [each.by_node for each in questions],
        "volumes": [Json(each.volumes) for each in questions],
        "most": MOST_COUNTED,
    }
    with connection.cursor() as cursor:
        cursor.execute(SPARED, params)
        rows = cursor.fetchall()
    by_cause: list[dict[Cause, _Count]] = [{} for _ in questions]
    for number, cause, count, until, exempt_s, now in rows:
        if cause is not None:
            found = _Count(Cause(cause), count, until, timedelta(seconds=exempt_s), now)
            by_cause[number][found.cause] = found
    return [[found[cause] for cause in COUNTED if cause in found] for found in by_cause]
