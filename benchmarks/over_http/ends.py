"""How late ends are written while many clusters are busy.

In each of the clusters simulated deployments of a few seconds end one after another, all of them
waiting when the clusters are opened. The script asks the database, four times a second, how many
are past their end and still RUNNING, and by how much. It also adds up the CPU that the processes
take meanwhile, for each end.
"""

import time
from collections.abc import Mapping

import psutil

from benchmarks.over_http import client
from benchmarks.over_http.memory import by_role
from benchmarks.over_http.stack import Stack
from benchmarks.report import Result, percentile

CLUSTERS = 150
OF_EACH = 12
SLOTS = 4  # of a cluster: so many run at once, for 2 to 6 seconds each
WATCH_S = 45.0
EVERY_S = 0.25

_OVERDUE = """
SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - due_at)), 0)
  FROM deployments_deployment WHERE status = 'RUNNING' AND due_at < clock_timestamp()
"""

_ENDED = "SELECT count(*) FROM deployments_deployment WHERE status = 'COMPLETED'"
BUSY = ("timer", "worker", "PostgreSQL")


def measure(rounds: int) -> Result:
    result = Result(
        "ends",
        "Ends by the clock",
        notes=[
            f"{CLUSTERS} clusters with {SLOTS} running and up to {OF_EACH} waiting deployments of "
            f"2 to 6 seconds each, looked at every {EVERY_S} s for {WATCH_S:.0f} s: how many are "
            "past their end and still RUNNING, and by how much the worst one is. CPU is what the "
            "timer, the worker and PostgreSQL take meanwhile, for starts and cycles too, by the "
            "number of ends."
        ],
    )
    counts: list[float] = []
    worst: list[float] = []
    medians: list[float] = []
    cpu: dict[str, list[float]] = {role: [] for role in BUSY}
    for _ in range(max(rounds, 1)):
        seen, cpu_ms = _round()
        for role in BUSY:
            cpu[role].append(cpu_ms[role])
        counts.append(max(count for count, _ in seen))
        worst.append(max(late for _, late in seen))
        medians.append(percentile([late for _, late in seen], 50))
    result.add("most overdue at once", "deployments", counts)
    result.add("the latest one, median of the looks", "s", medians)
    result.add("the latest one, worst look", "s", worst)
    for role, spent in cpu.items():
        result.add(f"CPU of an end, {role}", "ms", spent)
    result.add(
        "CPU of an end, all three", "ms", [sum(each) for each in zip(*cpu.values(), strict=True)]
    )
    return result


def _round() -> tuple[list[tuple[float, float]], Mapping[str, float]]:
    """What was seen of late ends, and the CPU of an end in ms by role."""
    with Stack(MAX_CLUSTERS_PER_ORGANIZATION=str(CLUSTERS)) as stack:
        owner = stack.caller(client.newcomer(stack.caller()))
        organization = client.organization(owner)
        clusters: list[str] = []
        for number in range(CLUSTERS):
            busy = client.cluster(owner, organization, f"busy-{number}", total_gpu=SLOTS)
            owner.patch(f"/api/clusters/{busy}", {"state": "PAUSED"})
            clusters.append(busy)
            for each in range(OF_EACH):
                runtime_s = 2 + each % 5
                given = client.workload(busy, required_gpu=1, simulated_runtime_s=runtime_s)
                owner.post("/api/deployments", given)
        before = _cpu_s(stack)
        for busy in clusters:
            owner.patch(f"/api/clusters/{busy}", {"state": "ACTIVE"})
        seen: list[tuple[float, float]] = []
        with stack.sql() as connection, connection.cursor() as cursor:
            until = time.monotonic() + WATCH_S
            while time.monotonic() < until:
                cursor.execute(_OVERDUE)
                count, late = cursor.fetchone()
                seen.append((float(count), float(late)))
                time.sleep(EVERY_S)
            after = _cpu_s(stack)
            cursor.execute(_ENDED)
            (ended,) = cursor.fetchone()
        return seen, {role: 1000 * (after[role] - before[role]) / ended for role in BUSY}


def _cpu_s(stack: Stack) -> dict[str, float]:
    """What the processes of each role have spent, with those that have ended below them."""
    spent = dict.fromkeys(BUSY, 0.0)
    for role, processes in by_role(stack).items():
        for process in processes:
            if role in spent:
                try:
                    spent[role] += sum(process.cpu_times()[:4])
                except psutil.NoSuchProcess:
                    continue
    return spent
