"""Ended deployments in great number, and the plans of the queries that read them."""

import json
import time
from collections.abc import Iterator
from typing import Any

from django.db import connection

_ENDED = """
INSERT INTO deployments_deployment (id, cluster_id, owner_id, name, image, command, args, env, kind,
       cpu_milli, ram_mib, gpu, replicas, priority_class_id, scheduling_key, node_selector,
       pending_dependencies, grace_s, max_retries, status, reason_code, reason_details, placement,
       attempt, next_status, yielded, retry_count, preemption_count, created_at, queued_at,
       finished_at, idempotency_digest)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
       || '70008' || substr(md5(n::text || %(cluster)s), 1, 15))::uuid,
       %(cluster)s, %(owner)s, 'old-' || n, 'image', '[]', '[]', '[]',
       CASE WHEN n %% 50 = 3 AND old THEN 'service' ELSE 'job' END, 1000, 512, 1, 1,
       (SELECT id FROM deployments_priorityclass
         WHERE name = CASE WHEN n %% 20 = 1 AND old THEN 'HIGH' ELSE 'LOW' END),
       'LOW/1000/512/1x1', '{}', 0, 30, 0,
       CASE WHEN n %% 20 = 1 AND old THEN 'FAILED' WHEN n %% 20 = 2 AND old THEN 'STOPPED'
            ELSE 'COMPLETED' END,
       '', '{}', '[]', 1, '', false, 0, 0, at, at, at + interval '1 minute', ''
  FROM (SELECT n, now() - interval '1 hour' - n * interval '1 minute' AS at,
               n >= %(count)s / 2 AS old
          FROM generate_series(0, %(count)s - 1) n) made
"""
_ALL_VISIBLE = "SELECT relallvisible >= relpages FROM pg_class WHERE relname = %s"
TABLES = ("deployments_deployment", "deployments_deploymentevent", "scheduler_schedulingcycle")


def add_history(cluster: Any, owner: Any, count: int) -> None:
    """So many ended deployments, one a minute; FAILED, STOPPED, HIGH and services are rare, and all
    of them in the older half."""
    params: dict[str, Any] = {"cluster": str(cluster.pk), "owner": str(owner.pk), "count": count}
    with connection.cursor() as cursor:
        cursor.execute(_ENDED, params)


def start_empty(table: str = "deployments_deployment") -> None:
    """The table as it is when made: what tests have added and rolled back stays in its pages and
    indexes, and a scan for a bitmap reads that too."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table} CASCADE")


def analyze() -> None:
    """What autovacuum would have done by now; within a transaction, the half of it.

    A page counts as visible to all once its rows' commits are on the disk. Tests' commits do not
    wait for that, so one that does comes first.
    """
    with connection.cursor() as cursor:
        if not connection.in_atomic_block:
            cursor.execute("SET synchronous_commit = on")
            cursor.execute("SELECT pg_current_xact_id()")
            cursor.execute("RESET synchronous_commit")
        for table in TABLES:
            if connection.in_atomic_block:
                cursor.execute(f"ANALYZE {table}")
                continue
            for _ in range(50):  # until no session of another test may still see older rows
                cursor.execute(f"VACUUM ANALYZE {table}")
                cursor.execute(_ALL_VISIBLE, [table])
                if cursor.fetchone() == (True,):
                    break
                time.sleep(0.1)
            else:
                cursor.execute("SELECT * FROM pg_stat_activity")
                raise AssertionError(f"{table} is not visible to all: {cursor.fetchall()}")


def scans_of(sql: str, tables: tuple[str, ...] = TABLES) -> Iterator[dict[str, Any]]:
    """The nodes of the query's plan that read these tables, after it was carried out."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [[answer]] = cursor.fetchall()
    pending = [(json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]]
    while pending:
        node = pending.pop()
        pending += node.get("Plans", [])
        if node.get("Relation Name") in tables or "Bitmap Index Scan" in node["Node Type"]:
            yield node


def rows_read(node: dict[str, Any]) -> float:
    """The rows that a scan has read, shown or not."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])
