"""A cycle's time with many waiting, as the ledger records it."""

import time
from typing import Any

from psycopg2.extras import execute_values
from uuid_utils.compat import uuid7

from benchmarks.over_http import client
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result

WAITING = 5000
REQUESTS = 50  # different ones
STOPS = 20  # a round
GPUS = 200
LOOK_EVERY_S = 0.002  # counting costs the database something too


def measure(rounds: int) -> Result:
    result = Result(
        "cycles",
        f"A cycle with {WAITING:,} waiting",
        notes=[
            f"{GPUS} run and fill the cluster, {WAITING:,} wait in {REQUESTS} different requests. "
            "Each cycle is one stop: it frees a GPU, and the cycle finds the deployment that takes "
            "it. Phases are the ledger's own; the last line is from the stop's first byte until "
            "another runs."
        ],
    )
    phases: dict[str, list[float]] = {"load": [], "plan": [], "apply": []}
    handed: list[float] = []
    with Stack() as stack:
        token = client.newcomer(stack.caller())
        caller = stack.caller(token)
        full = client.cluster(caller, client.organization(caller), "full", total_gpu=GPUS)
        running = [
            caller.post("/api/deployments", client.workload(full))["id"] for _ in range(GPUS)
        ]
        sql = stack.sql().cursor()
        _wait(sql, "SELECT count(*) FROM deployments_deployment WHERE status = 'RUNNING'", GPUS)
        _queue(sql)
        for _ in range(rounds):
            sql.execute("SELECT coalesce(max(started_at), now()) FROM scheduler_schedulingcycle")
            (since,) = sql.fetchone()
            times = []
            for _ in range(STOPS):
                times.append(_hand_over(caller, sql, running.pop()))
                time.sleep(0.02)
            sql.execute(
                "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY load_ms),"
                " percentile_cont(0.5) WITHIN GROUP (ORDER BY plan_ms),"
                " percentile_cont(0.5) WITHIN GROUP (ORDER BY apply_ms)"
                " FROM scheduler_schedulingcycle WHERE started_at > %s AND started_count > 0",
                [since],
            )
            for phase, value in zip(phases, sql.fetchone(), strict=True):
                phases[phase].append(value)
            handed.append(sorted(times)[len(times) // 2])
    for phase, values in phases.items():
        result.add(phase, "ms", values)
    result.add("whole cycle", "ms", [sum(each) for each in zip(*phases.values(), strict=True)])
    result.add("stop to another RUNNING", "ms", handed)
    return result


def _queue(sql: Any) -> None:
    """Insert waiting rows as submits do, without a wake-up: the first stop wakes the scheduler."""
    sql.execute("SELECT * FROM deployments_deployment LIMIT 1")
    names = [column.name for column in sql.description]
    ids = [(str(uuid7()), 1024 + number % REQUESTS) for number in range(WAITING)]
    sql.execute("CREATE TEMP TABLE ids (id uuid, ram_mib bigint)")
    execute_values(sql, "INSERT INTO ids VALUES %s", ids, page_size=1000)
    changed = {
        "id": "ids.id",
        "ram_mib": "ids.ram_mib",
        "scheduling_key": "'LOW/4000/' || ids.ram_mib || '/1x1'",
        "status": "'QUEUED'",
        "placement": "'[]'",
        "started_at": "NULL",
        "due_at": "NULL",
        "idempotency_key": "NULL",
        "created_at": "now()",
        "queued_at": "now()",
    }
    columns = ", ".join(changed.get(name, f"d.{name}") for name in names)
    sql.execute(
        f"INSERT INTO deployments_deployment ({', '.join(names)}) SELECT {columns} FROM ids,"
        " LATERAL (SELECT * FROM deployments_deployment LIMIT 1) d"
    )
    sql.execute("ANALYZE deployments_deployment")


def _hand_over(caller: client.Caller, sql: Any, key: str) -> float:
    """Stop one deployment; returns the ms until as many run as before."""
    began = time.perf_counter()
    caller.post(f"/api/deployments/{key}/stop", {})
    _wait(sql, "SELECT count(*) FROM deployments_deployment WHERE status = 'RUNNING'", GPUS)
    return (time.perf_counter() - began) * 1000


def _wait(sql: Any, count: str, wanted: int) -> None:
    while True:
        sql.execute(count)
        if sql.fetchone()[0] == wanted:
            return
        time.sleep(LOOK_EVERY_S)
