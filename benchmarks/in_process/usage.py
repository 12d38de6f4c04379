"""How long usage of a month takes to add up, and what recording it costs a submit, a cycle and an
end, beside the same without.

A million intervals of 30 days, of 50 users in 4 clusters, some of which last for days. In one
process, on servers of the benchmark's own. Costs are those of blocks that take turns, as of events.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from unittest.mock import patch
from uuid import UUID

from benchmarks.in_process import events, tables
from benchmarks.report import Result
from benchmarks.servers import platform

MILLION = 1_000_000
BATCH = 20_000  # of a statement that fills, which ends within the platform's timeout
DAYS, USERS, CLUSTERS, TEAMS = 30, 50, 4, 20
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
NOW = FIRST + timedelta(days=DAYS, hours=9)
ORGANIZATION = UUID(int=1)
BLOCKS = 20
ENDS = 20

# Ten minutes on average; one in a thousand for three days; written in the order in which they
# begin. The labels are those of a user's teams.
_FILL = """
INSERT INTO deployments_allocationinterval
       (organization_id, cluster_id, cluster, deployment_id, deployment, attempt, user_id, username,
        priority_class, labels, node, node_labels, replicas, cpu_milli, ram_mib, gpu, queued_ms,
        begin_ms, end_ms, lost_ms, outcome)
SELECT %(organization)s, lpad(to_hex(n %% %(clusters)s), 32, '0')::uuid,
       'cluster-' || n %% %(clusters)s, gen_random_uuid(), 'train', 1,
       lpad(to_hex(n %% %(users)s), 32, '0')::uuid, 'user-' || n %% %(users)s,
       (ARRAY['LOW', 'LOW', 'HIGH'])[1 + n / 50 %% 3],
       jsonb_build_object('team', 'team-' || (n %% %(users)s + n / 7 %% 2) %% %(teams)s),
       'node-' || n %% 40, jsonb_build_object('gpu', (ARRAY['a100', 'h100', 'l4'])[1 + n %% 3]),
       1, 4000, 16384, 1, start - 60000, start, start + lasts,
       CASE WHEN n %% 20 = 0 THEN start + lasts / 2 END,
       CASE WHEN n %% 20 = 0 THEN 'evicted' ELSE 'completed' END
  FROM (SELECT n, (%(first_ms)s + (n - random()) * %(span_ms)s / %(count)s)::bigint AS start,
               CASE WHEN n %% 1000 = 0 THEN 259200000 ELSE (random() * 1200000)::bigint END AS lasts
          FROM generate_series(%(number)s + 1, %(until)s) n) made
"""


def measure(rounds: int, *, count: int = MILLION) -> Result:
    result = Result(
        "usage",
        "Usage of a month, and what recording it costs",
        notes=[
            f"A month of {count:,} intervals, of {USERS} users; sums of days beside reading every "
            f"interval, which gives the same. A cost: the ratio of the medians of {BLOCKS} blocks "
            "with and without intervals, which take turns."
        ],
    )
    with platform():
        _measure_costs(result, rounds)
        _measure_months(result, rounds, count)
    return result


def _measure_months(result: Result, rounds: int, count: int) -> None:
    from django.db import connection

    from deployments.usage import rollups
    from deployments.usage.report import CLUSTER, DAY, LABEL, USER, Question, usage_of

    first_ms = int(FIRST.timestamp() * 1000)
    params: dict[str, Any] = {
        "organization": str(ORGANIZATION),
        "first_ms": first_ms,
        "count": count,
    }
    params |= {"users": USERS, "clusters": CLUSTERS, "teams": TEAMS}
    params["span_ms"] = (NOW - FIRST) // timedelta(milliseconds=1)
    with connection.cursor() as cursor:
        for number in range(0, count, BATCH):
            until = min(number + BATCH, count)
            cursor.execute(_FILL, {**params, "number": number, "until": until})
    began = time.perf_counter()
    for _ in rollups.sum_up(NOW):
        pass
    took = time.perf_counter() - began
    result.add("Summing up, of 1,000 intervals", "ms", [took * 1e6 / count], reference=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT count(*) FROM deployments_usageofday")
        [(sums,)] = cursor.fetchall()
    result.add("Rows of sums", "", [sums], reference=True)
    edge = timedelta(hours=7, minutes=31)
    asked: list[tuple[str, datetime, datetime, dict[str, Any]]] = [
        ("by user", FIRST, FIRST + timedelta(days=DAYS), {"group_by": [USER]}),
        ("by user and day", FIRST, FIRST + timedelta(days=DAYS), {"group_by": [USER, DAY]}),
        ("by label", FIRST, NOW, {"group_by": [LABEL], "label": "team"}),
        ("by cluster, cut within days", FIRST + edge, NOW - edge, {"group_by": [CLUSTER]}),
    ]
    for label, begin, end, how in asked:
        question = Question(ORGANIZATION, begin, end, NOW, **how)
        for name, summed in (("with sums", True), ("without", False)):
            times = []
            for _ in range(rounds if summed else 2):
                began = time.perf_counter()
                found = usage_of(question, summed=summed)
                times.append((time.perf_counter() - began) * 1000)
            result.add(f"A month {label}, {name}", "ms", times, reference=not summed)
            if summed:
                expected = found
            assert found == expected, "the sums differ"


def _measure_costs(result: Result, rounds: int) -> None:
    for label, block in _blocks():
        ratios: list[float] = []
        _costs(block, 3)
        for _ in range(rounds):
            costs = _costs(block, BLOCKS)
            ratios.append(costs[True] / costs[False])
        result.add(f"{label}: with intervals beside without, time", "x", ratios)


def _costs(block: events.Block, blocks: int) -> dict[bool, float]:
    """The median time of a call, with intervals and without."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(blocks):
        for recorded in (number % 2 == 0, number % 2 == 1):
            with _recording(recorded):
                calls, work = block()
                began = time.perf_counter()
                work()
                times[recorded].append((time.perf_counter() - began) / calls)
    return {recorded: median(each) for recorded, each in times.items()}


@contextmanager
def _recording(recorded: bool) -> Iterator[None]:
    from deployments.usage import intervals
    from scheduler.store import apply, sql

    def nothing(*_: object) -> None:
        pass

    with ExitStack() as stack:
        if not recorded:
            alone = sql._START.replace("RETURNING d.*", "RETURNING d.id, d.status, d.admitted_at")
            stack.enter_context(patch.object(apply, "START", alone))
            stack.enter_context(patch.object(intervals, "end", nothing))
            stack.enter_context(patch.object(intervals, "end_waiting", nothing))
        yield


def _blocks() -> Iterator[tuple[str, events.Block]]:
    world = events._World()
    yield from world.blocks()
    yield f"Ends of {ENDS}", lambda: _ends(world)


def _ends(world: events._World) -> tuple[int, Callable[[], object]]:
    from deployments.models import Deployment
    from deployments.services.stop import stop

    started, work = world._cycle(ENDS)
    work()
    rows = Deployment.objects.filter(status="RUNNING").order_by("-pk")[:ENDS]
    ids = list(rows.values_list("pk", flat=True))
    return started, lambda: stop(ids, tables.owner_named())
